package lockout

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTriesInTime: over any sequence of failures and rests, no more tries are
// possible than MaxTries and one for each RecoveryTime that passed.
func TestTriesInTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := New()
		now := time.Duration(r.IntN(1000)) * time.Hour
		start := now
		timers := l.Startup(now)
		timers = l.SetParameters(1+r.Uint32N(40), 1+r.Uint32N(10000), r.Uint32N(100000), now)
		tries := uint64(0)
		for range 500 {
			now += time.Duration(r.IntN(int(3 * time.Duration(l.RecoveryTime) * time.Second)))
			for range r.IntN(60) {
				if l.Heal(&timers, now); l.Locked() {
					break
				}
				if !l.Fail(&timers, now) {
					t.Fatalf("seed %d: a failure was not counted", seed)
				}
				tries++
			}
			most := uint64(l.MaxTries) + uint64((now-start)/(time.Duration(l.RecoveryTime)*time.Second))
			if tries > most {
				t.Fatalf("seed %d: %d tries in %v; %d are allowed", seed, tries, now-start, most)
			}
		}
	}
}

func TestLockoutAuth(t *testing.T) {
	t.Parallel()
	l := New()
	timers := l.Startup(time.Hour)
	l.FailAuth(&timers, time.Hour)
	if l.Heal(&timers, time.Hour+86399*time.Second) || l.AuthEnabled {
		t.Error("enabled too early")
	}
	if !l.Heal(&timers, time.Hour+86400*time.Second) || !l.AuthEnabled {
		t.Error("not enabled after a day")
	}
	l.FailAuth(&timers, 0)
	l.SetParameters(1, 1, 0, 0)
	if l.Heal(&timers, 1<<60) || l.AuthEnabled {
		t.Error("enabled by time, with a recovery of zero")
	}
	if l.Startup(0); !l.AuthEnabled {
		t.Error("not enabled by a start")
	}
}
