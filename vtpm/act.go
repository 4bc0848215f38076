package vtpm

import (
	"bytes"
	"time"

	"stubtpm/vtpm/tcg"
)

// Part 3, section 33 - Authenticated Countdown Timer.
var timerCommands = commandTable{
	tcg.TPMCCACTSetTimeout: (*Device).actSetTimeout,
}

// numACT is how many countdown timers there are. What a signal does is the
// platform's to say (Part 1, 40.3); here it is written to the log, and shown by
// TPM2_GetCapability.
const numACT = 2

// An act is an authenticated countdown timer (Part 1, clause 40).
type act struct {
	timeout  uint32        // seconds, at setAt; zero when it does not count
	setAt    time.Duration // Config.Now
	signaled bool
	preserve bool // preserveSignaled
	updated  bool // by TPM2_ACT_SetTimeout since the last TPM2_Startup
	policy   authPolicy
}

// actOf returns the timer of a handle, or nil.
func (d *Device) actOf(h tcg.TPMHandle) *act {
	if h < tcg.TPMRHACT0 || h >= tcg.TPMRHACT0+numACT {
		return nil
	}
	return &d.clear.acts[h-tcg.TPMRHACT0]
}

// actTick counts the timers down to now. Nothing looks at them in between.
func (d *Device) actTick() {
	for i := range d.clear.acts {
		a := &d.clear.acts[i]
		if a.timeout == 0 {
			continue
		}
		now := d.cfg.Now()
		passed := uint64((now - a.setAt) / time.Second)
		if passed < uint64(a.timeout) {
			a.timeout -= uint32(passed)
			a.setAt += time.Duration(passed) * time.Second
			continue
		}
		a.timeout = 0
		d.actSignal(i)
	}
}

func (d *Device) actSignal(i int) {
	d.clear.acts[i].signaled = true
	d.cfg.Log("vtpm: countdown timer %d has expired", i)
}

// actSetTimeout is TPM2_ACT_SetTimeout.
func (d *Device) actSetTimeout(c *call) error {
	r := c.reader()
	start := r.next().Uint32()
	if err := r.end(); err != nil {
		return err
	}
	d.actTick()
	a := d.actOf(c.handles[0])
	const stop = 0xFFFFFFFF
	switch {
	case a.timeout == 0 && a.signaled && start == stop:
		a.signaled, start = false, 0
	case start != 0:
		a.signaled = false
	case a.timeout != 0:
		d.actSignal(int(c.handles[0] - tcg.TPMRHACT0))
	}
	a.timeout, a.setAt = start, d.cfg.Now()
	a.preserve, a.updated = false, true
	return nil
}

// actShutdown is what TPM2_Shutdown(STATE) keeps of the timers: of one that was
// not set since the last Startup half, so that nobody extends it by starting
// again and again (Part 1, 40.2).
func actShutdown(acts *[numACT]act) {
	for i := range acts {
		if !acts[i].updated {
			acts[i].timeout /= 2
		}
	}
}

// actStartup makes the timers ready after a TPM2_Startup, which has set them
// anew or restored them.
func (d *Device) actStartup(resume bool) {
	for i := range d.clear.acts {
		a := &d.clear.acts[i]
		if !resume {
			*a = act{policy: authPolicy{hash: tcg.TPMAlgNull}}
		}
		a.setAt, a.preserve, a.updated = d.cfg.Now(), resume && a.signaled, false
	}
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
		a := &d.clear.acts[i]
		var attributes tcg.TPMAACT
		if a.signaled {
			attributes |= tcg.TPMAACTSignaled
		}
		if a.preserve {
			attributes |= tcg.TPMAACTPreserveSignaled
		}
		l.w.Handle(h)
		l.w.Uint32(a.timeout)
		l.w.Uint32(uint32(attributes))
	}
}

func (a *act) encode(w *tcg.Writer) {
	w.Uint32(a.timeout)
	w.Uint16(flags(a.signaled, a.preserve, a.updated))
	a.policy.encode(w)
}

func (a *act) decode(r *tcg.Reader) {
	a.timeout = r.Uint32()
	setFlags(r.Uint16(), &a.signaled, &a.preserve, &a.updated)
	a.policy.decode(r)
}

func (p authPolicy) clone() authPolicy { return authPolicy{p.hash, bytes.Clone(p.digest)} }
