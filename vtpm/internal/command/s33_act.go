package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// actSetTimeout is TPM2_ACT_SetTimeout, which starts or stops a countdown
// timer.
func actSetTimeout(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	timeout := r.Next().Uint32()
	if err := r.End(); err != nil {
		return err
	}
	d.ACTTick()
	if i, _ := engine.ACTOf(c.Handles[0]); d.Clear.ACTs[i].Set(timeout, d.Cfg.Now()) {
		d.ACTExpired(i)
	}
	return nil
}

// listACT lists the timers.
func listACT(d *engine.Device, l *capList) {
	d.ACTTick()
	l.begin(12)
	for i := range d.Clear.ACTs {
		h := tcg.TPMRHACT0 + tcg.TPMHandle(i)
		if !l.want(uint32(h)) {
			continue
		}
		timeout, attributes := d.Clear.ACTs[i].State()
		l.w.Handle(h)
		l.w.Uint32(timeout)
		l.w.Uint32(uint32(attributes))
	}
}
