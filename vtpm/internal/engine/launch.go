package engine

import (
	"bytes"

	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// HashStart is the signal _TPM_Hash_Start: a measured launch begins, from
// locality 4 (Part 3, 22.9).
func (d *Device) HashStart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Vol.Failed {
		return
	}
	if !d.Vol.Started {
		d.Vol.PCRs.Allocate(d.Perm.PCRBanks)
	}
	d.Vol.HashSequence = d.NewEventSequence(nil)
}

// HashData is the signal _TPM_Hash_Data. Without a _TPM_Hash_Start it does
// nothing.
func (d *Device) HashData(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Vol.HashSequence != nil {
		d.Vol.HashSequence.Write(data)
	}
}

// HashEnd is the signal _TPM_Hash_End: what was measured is extended. Without
// a _TPM_Hash_Start it does nothing.
func (d *Device) HashEnd() {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.Vol.HashSequence
	if s == nil {
		return
	}
	d.Vol.HashSequence = nil
	first := pcr.DRTMFirst
	if !d.Vol.Started {
		// The TPM was not started: what was measured is the H-CRTM, and PCR 0
		// says by its start value that it came from locality 4.
		first = pcr.HCRTM
		d.Vol.HCRTM = true
		d.Vol.PCRs.Set(first, 0)
		d.Vol.PCRs.SetLast(first, 4)
	} else {
		for n := pcr.DRTMFirst; n <= pcr.DRTMLast; n++ {
			d.Vol.PCRs.Set(n, 0)
		}
	}
	for _, e := range s.Event {
		d.Vol.PCRs.Extend(e.Alg, first, e.H.Sum(nil))
	}
}

// NewEventSequence returns an event sequence with a digest for each PCR bank of the
// profile: also for those without PCRs, whose digests are returned but extend
// nothing (Part 3, 17.9.1).
func (d *Device) NewEventSequence(auth []byte) *object.Sequence {
	s := &object.Sequence{Auth: bytes.Clone(auth), Alg: tcg.TPMAlgNull}
	for _, alg := range d.Profile.PCRBanks() {
		s.Event = append(s.Event, object.EventHash{Alg: alg, H: tpmcrypto.MustHash(alg)})
	}
	return s
}
