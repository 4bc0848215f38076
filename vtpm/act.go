package vtpm

import (
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

// Part 3, section 33 - Authenticated Countdown Timer.
var timerCommands = commandTable{
	tcg.TPMCCACTSetTimeout: (*Device).actSetTimeout,
}

// actOf returns which timer a handle is of; ok is false if there is none.
func actOf(h tcg.TPMHandle) (i int, ok bool) {
	return int(h - tcg.TPMRHACT0), h >= tcg.TPMRHACT0 && h < tcg.TPMRHACT0+timer.Count
}

// actTick counts the timers down to now.
func (d *Device) actTick() { d.clear.acts.Tick(d.cfg.Now(), d.actExpired) }

// actExpired is the signal of a timer. What it does is the platform's to say
// (Part 1, 40.3); here it is written to the log, and shown by TPM2_GetCapability.
func (d *Device) actExpired(i int) { d.cfg.Log("vtpm: countdown timer %d has expired", i) }

// actSetTimeout is TPM2_ACT_SetTimeout.
func (d *Device) actSetTimeout(c *call) error {
	r := c.reader()
	timeout := r.next().Uint32()
	if err := r.end(); err != nil {
		return err
	}
	d.actTick()
	if i, _ := actOf(c.handles[0]); d.clear.acts[i].Set(timeout, d.cfg.Now()) {
		d.actExpired(i)
	}
	return nil
}

// listACT lists the timers.
func (d *Device) listACT(l *capList) {
	d.actTick()
	l.begin(12)
	for i := range d.clear.acts {
		h := tcg.TPMRHACT0 + tcg.TPMHandle(i)
		if !l.want(uint32(h)) {
			continue
		}
		timeout, attributes := d.clear.acts[i].State()
		l.w.Handle(h)
		l.w.Uint32(timeout)
		l.w.Uint32(uint32(attributes))
	}
}
