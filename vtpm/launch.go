package vtpm

// PCRs that a measured launch sets: the one of an H-CRTM, before
// TPM2_Startup, and those of a dynamic launch, of which the first is extended
// (Part 1, "H-CRTM" and "D-RTM"; PC Client Platform TPM Profile, "PCR
// Attributes").
const (
	pcrHCRTM     = 0
	pcrDRTMFirst = 17
	pcrDRTMLast  = 22
)

// HashStart is the signal _TPM_Hash_Start: a measured launch begins, from
// locality 4 (Part 3, 22.9).
func (d *Device) HashStart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vol.failed {
		return
	}
	if !d.vol.started {
		d.pcrAllocate()
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
	pcr := pcrDRTMFirst
	if !d.vol.started {
		// The TPM was not started: what was measured is the H-CRTM, and PCR 0
		// says by its start value that it came from locality 4.
		pcr = pcrHCRTM
		d.vol.hcrtm = true
		d.pcrSet(pcr, 0)
		for i := range d.vol.pcrs.banks {
			b := &d.vol.pcrs.banks[i]
			d.pcrEdit(b, pcr)[b.size-1] = 4
		}
	} else {
		for n := pcrDRTMFirst; n <= pcrDRTMLast; n++ {
			d.pcrSet(n, 0)
		}
	}
	for _, e := range s.event {
		if b := d.pcrBank(e.alg); b != nil {
			d.pcrExtend(b, pcr, e.h.Sum(nil))
		}
	}
}
