package vtpm

import "stubtpm/vtpm/tcg"

// Part 3, section 16 - Random Number Generator.
var randomCommands = commandTable{
	tcg.TPMCCGetRandom:  (*Device).getRandom,
	tcg.TPMCCStirRandom: (*Device).stirRandom,
}

// getRandom is TPM2_GetRandom. More than the largest digest is cut to that
// size.
func (d *Device) getRandom(c *call) error {
	r := c.reader()
	n := r.next().Uint16()
	if err := r.end(); err != nil {
		return err
	}
	c.out.Sized(d.random(min(int(n), tcg.MaxDigestSize)))
	return nil
}

// stirRandom is TPM2_StirRandom.
//
//	TPM_RC_FAILURE  the source of entropy failed; the device is in failure mode
func (d *Device) stirRandom(c *call) error {
	r := c.reader()
	data := r.next().SensitiveData()
	if err := r.end(); err != nil {
		return err
	}
	return d.stir(data)
}
