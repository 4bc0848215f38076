package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// readClock is TPM2_ReadClock, which returns Time and Clock.
func readClock(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	info := d.TimeInfo()
	info.Marshal(&c.Out)
	return nil
}

// maxClock is the highest value that TPM2_ClockSet takes (Part 3, 29.2).
const maxClock = 0xFFFF000000000000

// clockSet is TPM2_ClockSet, which sets Clock forward.
//
//	TPM_RC_VALUE  less than Clock is, or too much
func clockSet(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	v := r.Next().Uint64()
	if err := r.End(); err != nil {
		return err
	}
	if v > maxClock || v < d.ClockNow() {
		return tcg.TPMRCValue.P(1)
	}
	d.Vol.Clock.Set(v, d.Cfg.Now())
	d.Perm.Clock.Clock = v
	return nil
}

// clockRateAdjust is TPM2_ClockRateAdjust, which changes the rate at which
// Clock advances. The host's clock is disciplined already: the request is
// checked and has no effect, so that no rate is beyond the limit at which Part
// 3, 29.3, has TPM_RC_VALUE.
//
//	TPM_RC_VALUE  no such TPM_CLOCK_ADJUST
func clockRateAdjust(_ *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	r.Next().ClockAdjust()
	return r.End()
}
