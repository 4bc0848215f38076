package clock

import (
	"testing"
	"time"
)

// TestNoValueTwice: whatever is read of Clock, over saves that fail and losses of
// power, no value is read again that was read before, unless Clock says that it
// is not safe.
func TestNoValueTwice(t *testing.T) {
	t.Parallel()
	var saved Saved
	now := time.Hour
	highest := uint64(0)
	for power := range 20 {
		r := PowerOn(now)
		r.Startup(saved, power%3 == 0, now)
		for step := range 50 {
			now += time.Duration(step*step) * time.Minute
			if r.Tick(saved, now) {
				if (power+step)%4 == 0 { // the save fails
					r.Hold(saved, now)
				} else {
					saved.Clock = r.Clock(now)
				}
			}
			v := r.Clock(now)
			if v < highest && r.Safe {
				t.Fatalf("power %d, step %d: Clock is %d and safe; %d was read", power, step, v, highest)
			}
			highest = max(highest, v)
			if v >= saved.Due() {
				t.Fatalf("power %d, step %d: Clock is %d, and %d was saved", power, step, v, saved.Clock)
			}
		}
		if power%3 == 2 { // the next start is after an orderly shutdown
			saved = Saved{r.Clock(now), r.Safe}
		} else {
			saved.Safe = false
		}
	}
}

func TestRunning(t *testing.T) {
	t.Parallel()
	r := PowerOn(time.Minute)
	r.Set(5000, 2*time.Minute)
	if v := r.Clock(2*time.Minute + 3*time.Second); v != 8000 {
		t.Errorf("Clock is %d", v)
	}
	if v := r.Time(2 * time.Minute); v != 60000 {
		t.Errorf("Time is %d", v)
	}
	s := Resumed(r.SincePowerOn(2*time.Minute), r.Clock(2*time.Minute), time.Hour)
	if s.Time(time.Hour) != 60000 || s.Clock(time.Hour+time.Second) != 6000 {
		t.Errorf("resumed: Time %d, Clock %d", s.Time(time.Hour), s.Clock(time.Hour+time.Second))
	}
}
