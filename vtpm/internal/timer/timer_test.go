package timer

import (
	"math/rand/v2"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
)

// TestTickInParts: however often a timer is looked at, it expires once, at the
// same second.
func TestTickInParts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var ts Timers
		timeout := 1 + r.Uint32N(5000)
		ts[1].Set(timeout, time.Hour)
		expired := 0
		for now := time.Hour; now < 4*time.Hour; now += time.Duration(r.Int64N(int64(10 * time.Minute))) {
			ts.Tick(now, func(i int) {
				expired++
				if i != 1 || now < time.Hour+time.Duration(timeout)*time.Second {
					t.Fatalf("timer %d of %d s has expired after %v", i, timeout, now-time.Hour)
				}
			})
			left, attributes := ts[1].State()
			passed := uint32((now - time.Hour) / time.Second)
			if passed < timeout && (left != timeout-passed || attributes != 0) ||
				passed >= timeout && (left != 0 || attributes != tcg.TPMAACTSignaled) {
				t.Fatalf("%d s left of %d after %d, attributes %#x", left, timeout, passed, attributes)
			}
		}
		if expired != 1 {
			t.Fatalf("expired %d times", expired)
		}
	}
}

func TestCodec(t *testing.T) {
	t.Parallel()
	for _, have := range []Timer{{}, {timeout: 7}, {signaled: true, preserve: true}, {timeout: Stop, updated: true}} {
		var w tcg.Writer
		have.Encode(&w)
		r := tcg.NewReader(w.B, nil)
		var got Timer
		if got.Decode(&r); got != have || r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
			t.Errorf("%+v became %+v", have, got)
		}
	}
}
