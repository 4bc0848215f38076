package vtpm

import (
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
)

// Part 3, section 22 - Integrity Collection (PCR).
var pcrCommands = commandTable{
	tcg.TPMCCPCRExtend: (*Device).pcrExtendCommand,
	tcg.TPMCCPCREvent:  (*Device).pcrEvent,
	tcg.TPMCCPCRRead:   (*Device).pcrRead,
	tcg.TPMCCPCRReset:  (*Device).pcrResetCommand,
}

// pcrExtendCommand is TPM2_PCR_Extend.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
func (d *Device) pcrExtendCommand(c *call) error {
	r := c.reader()
	var digests tcg.TPMLDigestValues
	digests.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	h := c.handles[0]
	if h == tcg.TPMRHNull {
		return nil
	}
	n := int(h)
	if !localityIn(pcr.Rules(n).Extend, c.locality) {
		return tcg.TPMRCLocality
	}
	for _, v := range digests.All() {
		d.vol.pcrs.Extend(v.HashAlg, n, v.Digest)
	}
	return nil
}

// pcrEvent is TPM2_PCR_Event.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
func (d *Device) pcrEvent(c *call) error {
	r := c.reader()
	data := r.next().Event()
	if err := r.end(); err != nil {
		return err
	}
	h := c.handles[0]
	n := int(h)
	if h != tcg.TPMRHNull && !localityIn(pcr.Rules(n).Extend, c.locality) {
		return tcg.TPMRCLocality
	}
	banks := d.vol.pcrs.Banks()
	c.out.Uint32(uint32(len(banks)))
	for i := range banks {
		alg := banks[i].Alg()
		v := digest(alg, data)
		c.out.Uint16(uint16(alg))
		c.out.Bytes(v)
		if h != tcg.TPMRHNull {
			d.vol.pcrs.Extend(alg, n, v)
		}
	}
	return nil
}

// maxPCRRead is how many digests one TPM2_PCR_Read returns (TPML_DIGEST).
const maxPCRRead = 8

// pcrRead is TPM2_PCR_Read.
func (d *Device) pcrRead(c *call) error {
	r := c.reader()
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	out := d.vol.pcrs.Filter(&sel)
	var values [maxPCRRead][]byte
	n := 0
	for i := range out.All() {
		s := out.At(i)
		b := d.vol.pcrs.Bank(s.Hash)
		for p := range pcr.Count {
			if !s.Has(p) {
				continue
			}
			if n == maxPCRRead {
				s.Clear(p)
				continue
			}
			values[n] = b.Value(p)
			n++
		}
	}
	c.out.Uint32(d.reset.pcrUpdateCounter)
	out.Marshal(&c.out)
	c.out.Uint32(uint32(n))
	for _, v := range values[:n] {
		c.out.Sized(v)
	}
	return nil
}

// pcrResetCommand is TPM2_PCR_Reset.
//
//	TPM_RC_LOCALITY  the PCR may not be reset from this locality
func (d *Device) pcrResetCommand(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	if c.handles[0] == tcg.TPMRHNull {
		return nil
	}
	n := int(c.handles[0])
	if !localityIn(pcr.Rules(n).Reset, c.locality) {
		return tcg.TPMRCLocality
	}
	d.vol.pcrs.Set(n, 0)
	return nil
}
