package vtpm

import "stubtpm/vtpm/tcg"

// Part 3, section 29 - Clocks and Timers.
var clockCommands = commandTable{
	tcg.TPMCCReadClock:       (*Device).readClock,
	tcg.TPMCCClockSet:        (*Device).clockSet,
	tcg.TPMCCClockRateAdjust: (*Device).clockRateAdjust,
}

// readClock is TPM2_ReadClock.
func (d *Device) readClock(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	info := d.timeInfo()
	info.Marshal(&c.out)
	return nil
}

// maxClock is the highest value that TPM2_ClockSet takes (Part 3, 29.2).
const maxClock = 0xFFFF000000000000

// clockSet is TPM2_ClockSet.
//
//	TPM_RC_VALUE  less than Clock is, or too much
func (d *Device) clockSet(c *call) error {
	r := c.reader()
	v := r.next().Uint64()
	if err := r.end(); err != nil {
		return err
	}
	if v > maxClock || v < d.clockNow() {
		return tcg.TPMRCValue.P(1)
	}
	d.vol.clock.Set(v, d.cfg.Now())
	d.perm.clock.Clock = v
	return nil
}

// clockRateAdjust is TPM2_ClockRateAdjust. The host's clock is disciplined
// already: the request is checked and has no effect, as Part 3 allows where
// the rate is at its limit.
func (d *Device) clockRateAdjust(c *call) error {
	r := c.reader()
	r.next().ClockAdjust()
	return r.end()
}
