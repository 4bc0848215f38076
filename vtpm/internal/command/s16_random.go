package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// getRandom is TPM2_GetRandom, which returns random bytes. More than the
// largest digest is cut to that size.
func getRandom(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	n := r.Next().Uint16()
	if err := r.End(); err != nil {
		return err
	}
	c.Out.Sized(d.Random(min(int(n), tcg.MaxDigestSize)))
	return nil
}

// stirRandom is TPM2_StirRandom, which adds data to the state of the random
// number generator.
//
//	TPM_RC_FAILURE  the source of entropy failed; the device is in failure mode
func stirRandom(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().SensitiveData()
	if err := r.End(); err != nil {
		return err
	}
	return d.Stir(data)
}
