package xenmove

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// play has a guest move in a world, continued by Finish as often as it takes, and checks
// how that ended. It returns the number of steps.
func play(t *testing.T, w *world) (steps int) {
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := w.attempt(func(s *Source) error { return s.Move(ctx, guestName) })
		for i := 0; ; i++ {
			time.Sleep(time.Minute)
			w.mu.Lock()
			_, open := w.hosts[0].records[DepartureRecord(guestName)]
			w.mu.Unlock()
			if !open || errors.Is(err, ErrUnknown) {
				break
			}
			if i == 10 {
				w.wrong = append(w.wrong, fmt.Sprintf("not finished: %v", err))
				break
			}
			err = w.attempt(func(s *Source) error { return s.Finish(ctx, guestName) })
		}
		w.end(err)
		// What still waits, waits for nothing.
		w.mu.Lock()
		for _, p := range w.procs {
			p.kill()
		}
		for _, l := range w.links {
			l.cut()
		}
		w.mu.Unlock()
		cancel()
		synctest.Wait()
		steps = w.steps
	})
	return steps
}

var errKilled = errors.New("killed")

// attempt runs a program of the source, which may be killed.
func (w *world) attempt(do func(*Source) error) error {
	s, _ := w.source()
	result := make(chan error, 1)
	go func() {
		err := errKilled
		defer func() { result <- err }()
		err = do(s)
	}()
	select {
	case err := <-result:
		return err
	case <-time.After(time.Hour):
		return errors.New("it hangs")
	}
}

// end checks what is left.
func (w *world) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := [2]int{}
	for i, h := range w.hosts {
		for _, d := range h.domains {
			if d.state == Running && d.name == guestName {
				at[i]++
			} else if !(i == 0 && d.state == Stopped && w.mayBeUnknown(err)) {
				w.wrong = append(w.wrong, fmt.Sprintf("left at host %d: %+v (%v)", i, *d, err))
			}
		}
		if len(h.locks) != 0 {
			w.wrong = append(w.wrong, fmt.Sprintf("left at host %d: locks %v", i, h.locks))
		}
	}
	here, there := w.here == "live" && !w.froze, w.there == "live"
	bad := false
	switch {
	case at[0]+at[1] != 1:
		// A power cut may take a guest with it.
		bad = !(w.mayBeUnknown(err) || w.ever && w.rebooted())
	case w.plain:
	case here == there:
		bad = true
	case here != (at[0] == 1):
		bad = !errors.Is(err, ErrParted) && !errors.Is(err, errKilled)
	}
	if bad {
		w.wrong = append(w.wrong, fmt.Sprintf("the guest is at %v, its vTPM %s (frozen %v) and %q: %v", at, w.here, w.froze, w.there, err))
	}
}

// mayBeUnknown reports whether an error is ErrUnknown with a cause: a power cut at the
// target, a copy that was destroyed just as it should run, or a Receiver that died while xl
// failed to have the guest run.
func (w *world) mayBeUnknown(err error) bool {
	return errors.Is(err, ErrUnknown) && (w.rebooted() || w.broken || len(w.faults) > 1)
}

func (w *world) rebooted() bool {
	for _, f := range w.faults {
		if f == "reboot" {
			return true
		}
	}
	return false
}

// kinds are all faults: a link that is cut, programs that are killed, the copy destroyed, and a
// power cut.
var kinds = []string{"cut", "source", "receiver", "xl migrate", "xl receive", "destroy", "reboot"}

// TestPairMoves moves a guest without a fault.
func TestPairMoves(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		w := newWorld(t, plain)
		n := play(t, w)
		if len(w.wrong) > 0 || len(w.hosts[1].domains) != 1 || !plain && w.there != "live" {
			t.Errorf("plain %v: %q, %+v", plain, w.wrong, w.hosts[1].domains)
		}
		t.Logf("plain %v: %d steps", plain, n)
	}
}

// TestSilentTarget has the link end while the memory is copied, and a target that says nothing on
// later ones: the program ends, and the guest stays.
func TestSilentTarget(t *testing.T) {
	t.Parallel()
	for step := 6; step < 25; step++ { // there is a link, and the vTPM was not sent away
		w := newWorld(t, false)
		w.silent = true
		w.faults[step] = "cut"
		if play(t, w); len(w.wrong) > 0 || w.where() != "guest here, vTPM here" {
			t.Fatalf("step %d: %q, %s", step, w.wrong, w.where())
		}
	}
}

// TestLargestMoves moves a guest whose vTPM has the largest state: once it is sent away there is
// no other way.
func TestLargestMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.large = true
	if play(t, w); len(w.wrong) > 0 || w.there != "live" {
		t.Errorf("%q, the vTPM is %s and %s", w.wrong, w.here, w.there)
	}
}

// TestOneFault has each fault before each step.
func TestOneFault(t *testing.T) {
	t.Parallel()
	count, ends := 0, map[string]int{}
	for _, plain := range []bool{false, true} {
		most := play(t, newWorld(t, plain)) + 5
		for _, broken := range []bool{false, true} {
			w := newWorld(t, plain)
			w.broken, w.awry = broken, true
			play(t, w)
			for _, s := range w.wrong {
				t.Errorf("plain %v, broken %v, xl that resumes the guest: %s", plain, broken, s)
			}
			for _, kind := range kinds {
				for step := 1; step <= most; step++ {
					w := newWorld(t, plain)
					w.broken = broken
					w.faults[step] = kind
					play(t, w)
					count++
					ends[kind+": "+w.where()]++
					if (kind == "cut" || kind == "source") && w.where() == "guest here, vTPM there" && !broken {
						w.wrong = append(w.wrong, "guest and vTPM are parted")
					}
					if w.before == "live" && w.where() == "guest here, vTPM there" && !broken {
						w.wrong = append(w.wrong, "a fault before the vTPM was sent parts guest and vTPM")
					}
					for _, s := range w.wrong {
						t.Errorf("plain %v, broken %v, %s before step %d: %s", plain, broken, kind, step, s)
					}
					if t.Failed() {
						return
					}
				}
			}
		}
	}
	t.Logf("%d faults: %v", count, ends)
}

// TestEachByte cuts the link after each byte.
func TestEachByte(t *testing.T) {
	t.Parallel()
	ends := map[string]int{}
	for _, plain := range []bool{false, true} {
		whole := newWorld(t, plain)
		play(t, whole)
		for n := 1; n < whole.first.total; n++ {
			w := newWorld(t, plain)
			w.cutAt = n
			play(t, w)
			ends[w.where()]++
			for _, s := range w.wrong {
				t.Fatalf("plain %v, cut after byte %d: %s", plain, n, s)
			}
		}
	}
	t.Logf("%v", ends)
	if ends["guest here, vTPM there"] > 0 {
		t.Error("a link that is cut parts guest and vTPM")
	}
}

// where says where guest and vTPM are.
func (w *world) where() string {
	s := "no guest"
	for i, h := range w.hosts {
		for _, d := range h.domains {
			if d.state == Running {
				s = [2]string{"guest here", "guest there"}[i]
			}
		}
	}
	if w.plain {
		return s
	}
	if w.there == "live" {
		return s + ", vTPM there"
	}
	return s + ", vTPM here"
}

// TestFaults has several faults in a row.
func TestFaults(t *testing.T) {
	t.Parallel()
	n := 3000
	if testing.Short() {
		n = 500
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	ends := map[string]int{}
	for i := range n {
		w := newWorld(t, r.IntN(4) == 0)
		w.broken, w.awry = r.IntN(6) == 0, r.IntN(10) == 0
		for range 2 + r.IntN(4) {
			w.faults[1+r.IntN(140)] = kinds[r.IntN(len(kinds))]
		}
		play(t, w)
		ends[w.where()]++
		for _, s := range w.wrong {
			t.Errorf("seed %d, world %d, %v: %s", seed, i, w.faults, s)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d worlds: %v", n, ends)
}
