package vtpm

import "stubtpm/vtpm/internal/pcr"

// HashStart is the signal _TPM_Hash_Start: a measured launch begins, from
// locality 4 (Part 3, 22.9).
func (d *Device) HashStart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vol.failed {
		return
	}
	if !d.vol.started {
		d.vol.pcrs.Allocate(d.perm.pcrBanks)
	}
	d.vol.drtm = d.newEventSequence(nil)
}

// HashData is the signal _TPM_Hash_Data. Without a _TPM_Hash_Start it does
// nothing.
func (d *Device) HashData(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vol.drtm != nil {
		d.vol.drtm.write(data)
	}
}

// HashEnd is the signal _TPM_Hash_End: what was measured is extended. Without
// a _TPM_Hash_Start it does nothing.
func (d *Device) HashEnd() {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.vol.drtm
	if s == nil {
		return
	}
	d.vol.drtm = nil
	first := pcr.DRTMFirst
	if !d.vol.started {
		// The TPM was not started: what was measured is the H-CRTM, and PCR 0
		// says by its start value that it came from locality 4.
		first = pcr.HCRTM
		d.vol.hcrtm = true
		d.vol.pcrs.Set(first, 0)
		d.vol.pcrs.SetLast(first, 4)
	} else {
		for n := pcr.DRTMFirst; n <= pcr.DRTMLast; n++ {
			d.vol.pcrs.Set(n, 0)
		}
	}
	for _, e := range s.event {
		d.vol.pcrs.Extend(e.alg, first, e.h.Sum(nil))
	}
}
