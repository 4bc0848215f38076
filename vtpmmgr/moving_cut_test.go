package vtpmmgr

import (
	"bytes"
	"errors"
	"testing"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/transfer"
)

var errCut = errors.New("power cut")

// cutDisk has a host's disk take n more writes.
func (h *transferHost) cutDisk(n int) {
	h.disk.Hook = func() error {
		if n == 0 {
			return errCut
		}
		n--
		return nil
	}
}

// TestTransferCut cuts the power of a host at each write and flush of its disk in each step of
// a move, there and back, and resets it: the step can then be done again, by the same message
// or from the request on if nothing was sent. In the end the vTPM is at the other host, with
// what it had, and never was it at both.
func TestTransferCut(t *testing.T) {
	t.Parallel()
	modes := moveModes()
	if testing.Short() {
		modes = modes[1:2]
	}
	for _, mode := range modes {
		for _, name := range []byte("ohaRe") {
			t.Run(mode.String()+string(name), func(t *testing.T) {
				t.Parallel()
				w, cuts := newTransferWorld(t, mode), 0
				for at := 0; ; at++ {
					if !w.cutAt(name, at) {
						break
					}
					cuts++
					g, err := w.b.loads(w.u)
					if err != nil || g.State.Sequence != w.last || g.State.Key != testState(w.last).Key {
						t.Fatalf("cut %d: it is not there: %+v, %v", at, g, err)
					}
					if n := w.live(); n != 1 {
						t.Fatalf("cut %d: %d are live", at, n)
					}
					w = w.back()
					w.last += 2
					w.freeze(w.a, w.u, w.last)
				}
				if cuts == 0 {
					t.Fatal("the power was never cut")
				}
			})
		}
	}
}

// live counts the vTPMs that can be loaded.
func (w *transferWorld) live() (n int) {
	for _, h := range []*transferHost{w.a, w.b} {
		if _, err := h.loads(w.u); err == nil {
			n++
		}
	}
	return n
}

// cutAt does a whole move, and cuts the power at a write of one step. It returns false if the
// step has not so many.
func (w *transferWorld) cutAt(name byte, at int) (cut bool) {
	w.t.Helper()
	for _, s := range w.steps() {
		if s.name != name {
			w.must(s.do())
			continue
		}
		s.at.cutDisk(at)
		err := s.do()
		s.at.disk.Hook = nil
		if err == nil {
			return false
		}
		reset(w.t, s.at.cfg.TPM)
		w.must(s.at.restart())
		if n := w.live(); n > 1 {
			w.t.Fatalf("cut %d of step %c: %d are live", at, name, n)
		}
		err = s.do()
		if name == 'h' && reasonOf(err) == transfer.NonceUsed {
			// The nonce was in memory, and so was that it is frozen.
			w.last++
			w.freeze(w.a, w.u, w.last)
			w.upTo('O')
			err = s.do()
		}
		if err != nil {
			w.t.Fatalf("step %c after cut %d: %v", name, at, err)
		}
	}
	return true
}

// TestTransferDamage: damage of what is kept of a vTPM's moves, in both places, harms no other
// vTPM and brings no vTPM back; in one place, nothing.
func TestTransferDamage(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	w.upTo('h')
	m := w.a.m
	for part := range 2 {
		for place, id := range movingItems(w.u, part) {
			b, err := m.store.Get(id)
			w.must(err)
			bad := bytes.Clone(b)
			bad[1] ^= 0xFF
			w.must(m.store.Commit(ledger.Change{ID: id, Body: bad}))
			_ = place
		}
	}
	w.must(w.a.restart())
	if _, err := w.a.loads(w.u); err == nil {
		t.Error("it can be loaded")
	}
	if _, err := w.a.give(w.u, w.order); err == nil {
		t.Error("it is sent")
	}
	w.must(w.a.as(testApprover).Destroy(w.u))
	if room := len(m.moving); room > 1 {
		t.Errorf("%d are kept", room)
	}
	w.must(w.a.restart())
	if p := w.a.phase(w.u); p != transfer.None {
		t.Errorf("destroyed: %v", p)
	}
}
