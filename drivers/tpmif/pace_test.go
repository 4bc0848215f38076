package tpmif

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestPace: whoever asks as often as it can gets the burst and then its rate,
// and whoever rests long enough gets the burst again.
func TestPace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	var p pace
	now := time.Unix(1, 0)
	begin, steps := now, 0
	for now.Sub(begin) < time.Hour {
		d := p.delay(now)
		if d < 0 {
			t.Fatalf("a delay of %v", d)
		}
		steps++
		now = now.Add(d + time.Duration(r.IntN(1000))*time.Microsecond)
	}
	most := paceBurst + int(time.Hour/paceRest) + 1
	if steps > most || steps < most-paceBurst {
		t.Errorf("%d steps in an hour, want about %d", steps, most)
	}
	now = now.Add(paceBurst*paceRest + paceRest)
	for i := range paceBurst {
		if d := p.delay(now); d != 0 {
			t.Errorf("after a rest, step %d has to wait %v", i, d)
		}
	}
	if p.delay(now) == 0 {
		t.Error("no end of the burst")
	}
}
