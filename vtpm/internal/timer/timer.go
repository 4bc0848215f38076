// Package timer is a TPM's authenticated countdown timers (TPM 2.0 Library, Part
// 1, "Authenticated Countdown Timer").
//
// Its functions are given the current time, elapsed since some fixed start, and
// nothing happens between two calls. No value is safe for concurrent use.
package timer

import (
	"time"

	"stubtpm/vtpm/tcg"
)

// Count is the number of timers.
const Count = 2

// Stop, as the timeout of a timer that has expired, clears its signal.
const Stop = 0xFFFFFFFF

// A Timer is one countdown timer. Its zero value does not count.
type Timer struct {
	timeout  uint32 // seconds, at setAt; zero when it does not count
	setAt    time.Duration
	signaled bool
	preserve bool // preserveSignaled
	updated  bool // by Set since the last Startup
}

// Timers are the timers of a TPM, that of TPM_RH_ACT_0 first.
type Timers [Count]Timer

// Tick counts the timers down to now, and calls expired for each one that has
// reached zero.
func (ts *Timers) Tick(now time.Duration, expired func(i int)) {
	for i := range ts {
		t := &ts[i]
		if t.timeout == 0 {
			continue
		}
		passed := uint64((now - t.setAt) / time.Second)
		if passed < uint64(t.timeout) {
			t.timeout -= uint32(passed)
			t.setAt += time.Duration(passed) * time.Second
			continue
		}
		t.timeout = 0
		t.signaled = true
		expired(i)
	}
}

// Set is TPM2_ACT_SetTimeout (Part 3, 33.2), and reports whether the timer
// expires by it. Preconditions: Tick was called with now.
func (t *Timer) Set(timeout uint32, now time.Duration) (expires bool) {
	switch {
	case t.timeout == 0 && t.signaled && timeout == Stop:
		t.signaled, timeout = false, 0
	case timeout != 0:
		t.signaled = false
	case t.timeout != 0:
		t.signaled, expires = true, true
	}
	t.timeout, t.setAt = timeout, now
	t.preserve, t.updated = false, true
	return expires
}

// Shutdown makes ts what TPM2_Shutdown(STATE) keeps: half of the time of a timer
// that was not set since the last TPM2_Startup, so that nobody extends it by
// starting again and again (Part 1, 40.2).
func (ts *Timers) Shutdown() {
	for i := range ts {
		if !ts[i].updated {
			ts[i].timeout /= 2
		}
	}
}

// Startup makes the timers ready after a TPM2_Startup, which has restored them
// if resume is true.
func (ts *Timers) Startup(resume bool, now time.Duration) {
	for i := range ts {
		t := &ts[i]
		if !resume {
			*t = Timer{}
		}
		t.setAt, t.preserve, t.updated = now, resume && t.signaled, false
	}
}

// State returns the seconds that are left, and the attributes.
func (t *Timer) State() (timeout uint32, attributes tcg.TPMAACT) {
	if t.signaled {
		attributes |= tcg.TPMAACTSignaled
	}
	if t.preserve {
		attributes |= tcg.TPMAACTPreserveSignaled
	}
	return t.timeout, attributes
}

// Encode appends the timer. Preconditions: Tick was called just before.
func (t *Timer) Encode(w *tcg.Writer) {
	w.Uint32(t.timeout)
	w.Flags(t.signaled, t.preserve, t.updated)
}

// Decode takes what Encode appended.
func (t *Timer) Decode(r *tcg.Reader) {
	t.timeout = r.Uint32()
	r.Flags(&t.signaled, &t.preserve, &t.updated)
}

// Continue makes timers that were decoded count from now on.
func (ts *Timers) Continue(now time.Duration) {
	for i := range ts {
		ts[i].setAt = now
	}
}
