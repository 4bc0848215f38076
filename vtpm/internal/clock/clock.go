// Package clock is what a TPM knows of time: Time, which counts from power-on,
// and Clock, which counts the milliseconds that the TPM has been powered in all
// (TPM 2.0 Library, Part 1, "Timing Components").
//
// Its functions are given the current time, elapsed since some fixed start, and
// read no clock themselves. No value is safe for concurrent use.
package clock

import "time"

// SaveInterval is how far Clock, in milliseconds, may advance before it must be
// saved (TPM_PT_CLOCK_UPDATE: 2^22 ms, about 70 minutes).
const SaveInterval = 1 << 22

// A Saved is the part of the timing state that survives a loss of power.
type Saved struct {
	Clock uint64 // milliseconds
	Safe  bool   // at the last TPM2_Shutdown
}

// Due returns the value of Clock at which it must be saved again.
func (s Saved) Due() uint64 { return (s.Clock/SaveInterval + 1) * SaveInterval }

// A Running is the timing of a TPM that is powered. Its zero value is powered on
// at time zero.
type Running struct {
	// Safe reports that no higher value of Clock was ever read.
	Safe bool

	// Epoch changes when Time may have jumped: timeouts that were set in another
	// epoch are void.
	Epoch uint32

	poweredOn time.Duration // last _TPM_Init
	at        time.Duration // when Clock was base
	base      uint64        // milliseconds
	held      bool          // Clock stands still at base
}

// PowerOn returns the timing after _TPM_Init.
func PowerOn(now time.Duration) Running { return Running{poweredOn: now, at: now} }

// Time returns the milliseconds since _TPM_Init.
func (r *Running) Time(now time.Duration) uint64 {
	return uint64((now - r.poweredOn) / time.Millisecond)
}

// SincePowerOn returns the time since _TPM_Init.
func (r *Running) SincePowerOn(now time.Duration) time.Duration { return now - r.poweredOn }

// Clock returns Clock in milliseconds.
func (r *Running) Clock(now time.Duration) uint64 {
	if r.held {
		return r.base
	}
	return r.base + uint64((now-r.at)/time.Millisecond)
}

// Set makes Clock v, from where it runs.
func (r *Running) Set(v uint64, now time.Duration) { r.base, r.at, r.held = v, now, false }

// Startup sets Clock at TPM2_Startup to what was saved last. After a disorderly
// shutdown a higher value may have been read, so Clock is not safe until it has
// passed the next save, however many orderly shutdowns come between.
func (r *Running) Startup(s Saved, orderly bool, now time.Duration) {
	r.base, r.at = s.Clock, now
	r.Safe = orderly && s.Safe
}

// Tick reports whether Clock must be saved, and lets a held Clock go on.
func (r *Running) Tick(s Saved, now time.Duration) bool {
	if r.held {
		r.Set(s.Due(), now)
	}
	due := r.Clock(now) >= s.Due()
	r.Safe = r.Safe || due
	return due
}

// Hold stops Clock just before a value that could not be saved: a value that was
// read once must not be read again after a loss of power.
func (r *Running) Hold(s Saved, now time.Duration) {
	if due := s.Due(); r.Clock(now) >= due {
		r.Set(due-1, now)
		r.held = true
	}
}

// Resumed returns the timing of a TPM that was powered on for elapsed when its
// volatile state was saved, and whose Clock was v.
func Resumed(elapsed time.Duration, v uint64, now time.Duration) Running {
	return Running{poweredOn: now - elapsed, at: now, base: v}
}
