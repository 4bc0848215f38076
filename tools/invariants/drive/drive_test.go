package drive

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestDevice drives the device for a minute, or for some seconds with -short.
// Command invariants does it for longer, and from other seeds.
func TestDevice(t *testing.T) {
	t.Parallel()
	limit := time.Minute
	if testing.Short() {
		limit = 3 * time.Second
	}
	begin := time.Now()
	rep, err := Search(Options{Maker: VTPM, Seed: 1, Commands: 1 << 60,
		Stop: func() bool { return time.Since(begin) > limit },
		Each: func(f *Found) bool {
			t.Errorf("%v", f.Shrink(&VTPM))
			return false
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(rep.Stats)
	if rep.Stats.Succeeded < rep.Stats.Commands*2/5 {
		t.Errorf("only %d of %d commands succeeded", rep.Stats.Succeeded, rep.Stats.Commands)
	}
}

// TestStats: each check is made, so that none passes because it never ran.
func TestStats(t *testing.T) {
	t.Parallel()
	rep, err := Search(Options{Maker: VTPM, Seed: 1000, Commands: 6000, Each: func(f *Found) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	s := rep.Stats
	for name, n := range map[string]int{"loaded": s.Loaded, "resumed": s.Resumed, "contexts": s.Contexts, "restored": s.Twins, "tries": s.Tries,
		"guesses": s.Oracles, "looks": s.Looks, "uses of policies": s.PolicyUses, "failed saves": s.FailedSaves} {
		if n == 0 {
			t.Errorf("%s: none in %d commands", name, s.Commands)
		}
	}
	t.Log(s)
}

// TestSame: the same seed gives the same events.
func TestSame(t *testing.T) {
	t.Parallel()
	var was string
	for i := range 2 {
		rep, err := Search(Options{Maker: VTPM, Seed: 3, Commands: 1, Each: func(*Found) bool { return true }})
		if err != nil {
			t.Fatal(err)
		}
		var l strings.Builder
		for _, e := range rep.events {
			l.WriteString(e.String() + "\n")
		}
		if i > 0 && l.String() != was {
			t.Errorf("events differ at byte %d of %d", differAt([]byte(l.String()), []byte(was)), len(was))
		}
		was = l.String()
	}
	if len(was) < 1000 {
		t.Errorf("%d bytes of events", len(was))
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("1 run 0 80010000000c000001440000 # TPM2_Startup\n2 init\n3 fail -1 true\n4 wait 5\n5 look 3 80\n\n# all\n6 reload\n7 resume\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ReadEvents(bytes.NewReader(b))
		if err != nil {
			return
		}
		var s strings.Builder
		for _, e := range l {
			s.WriteString(e.String() + "\n")
		}
		again, err := ReadEvents(strings.NewReader(s.String()))
		if err != nil || len(again) != len(l) {
			t.Fatalf("%q is read as %d events, written as %q, and read as %d: %v", b, len(l), s.String(), len(again), err)
		}
	})
}
