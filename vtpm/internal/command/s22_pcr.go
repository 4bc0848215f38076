package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// pcrExtendCommand is TPM2_PCR_Extend, which extends a PCR with given digests.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
func pcrExtendCommand(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var digests tcg.TPMLDigestValues
	digests.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	h := c.Handles[0]
	if h == tcg.TPMRHNull {
		return nil
	}
	n := int(h)
	if !dispatch.LocalityIn(pcr.Rules(n).Extend, c.Locality) {
		return tcg.TPMRCLocality
	}
	for _, v := range digests.All() {
		d.Vol.PCRs.Extend(v.HashAlg, n, v.Digest)
	}
	return nil
}

// pcrEvent is TPM2_PCR_Event, which extends a PCR with the digests of data.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
func pcrEvent(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Event()
	if err := r.End(); err != nil {
		return err
	}
	h := c.Handles[0]
	n := int(h)
	if h != tcg.TPMRHNull && !dispatch.LocalityIn(pcr.Rules(n).Extend, c.Locality) {
		return tcg.TPMRCLocality
	}
	banks := d.Vol.PCRs.Banks()
	c.Out.Uint32(uint32(len(banks)))
	for i := range banks {
		alg := banks[i].Alg()
		v := tpmcrypto.Digest(alg, data)
		c.Out.Uint16(uint16(alg))
		c.Out.Bytes(v)
		if h != tcg.TPMRHNull {
			d.Vol.PCRs.Extend(alg, n, v)
		}
	}
	return nil
}

// maxPCRRead is how many digests one TPM2_PCR_Read returns (TPML_DIGEST).
const maxPCRRead = 8

// pcrRead is TPM2_PCR_Read, which returns the values of PCRs.
func pcrRead(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	out := d.Vol.PCRs.Filter(&sel)
	var values [maxPCRRead][]byte
	n := 0
	for i := range out.All() {
		s := out.At(i)
		b := d.Vol.PCRs.Bank(s.Hash)
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
	c.Out.Uint32(d.Reset.PCRUpdateCounter)
	out.Marshal(&c.Out)
	c.Out.Uint32(uint32(n))
	for _, v := range values[:n] {
		c.Out.Sized(v)
	}
	return nil
}

// pcrResetCommand is TPM2_PCR_Reset, which sets a PCR to zero.
//
//	TPM_RC_LOCALITY  the PCR may not be reset from this locality
func pcrResetCommand(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	n := int(c.Handles[0])
	if !dispatch.LocalityIn(pcr.Rules(n).Reset, c.Locality) {
		return tcg.TPMRCLocality
	}
	d.Vol.PCRs.Set(n, 0)
	return nil
}
