package vtpmmgr

import (
	"fmt"
	"slices"
	"testing"

	"stubtpm/vtpmmgr/proto"
)

// A life is a guest from its creation to its end; a restore gives it another domain.
type life struct {
	domain  uint16
	told    bool
	program *proto.Program // of what was told
	sure    bool           // nothing can have made the manager forget that
}

// A liveVTPM does with its TPM what a vTPM does (package service).
type liveVTPM struct {
	guest *life // nil for none
	last  uint16

	prepared uint16 // domain that the TPM was made ready for, and that does not have it yet

	holder *life // had the TPM last
	pcrs   *life // whose start the PCRs are of; nil if they are capped
}

// A lifeWorld is a wordWorld in which the vTPMs serve guests.
type lifeWorld struct {
	*wordWorld
	of     map[UUID]*liveVTPM
	stated int // how often a measured start was stated
}

func newLifeWorld(t *testing.T, seed uint64) *lifeWorld {
	t.Helper()
	w := &lifeWorld{wordWorld: newWordWorld(t, seed), of: map[UUID]*liveVTPM{}}
	for _, u := range w.vtpms {
		w.requires[u] = &proto.Enrollment{UUID: u, Attested: true, Measured: w.r.IntN(2) == 0}
		w.must(as(t, w.m, testAdmin).Amend(w.requires[u]))
		w.of[u] = &liveVTPM{}
	}
	return w
}

// number returns the number of a new domain. It comes back at once, but not to a domain
// that nobody tells of, while something waits for the one before it: Xen's numbers go
// round in more than the time for which a word counts (docs/xen-life.md).
func (w *lifeWorld) number(told bool) uint16 {
	var used []uint16
	for _, v := range w.of {
		if v.guest != nil {
			used = append(used, v.guest.domain)
		}
		if !told {
			used = append(used, v.last, v.prepared)
		}
	}
	w.m.mu.Lock()
	for _, g := range w.m.guests {
		if !told && !g.told.IsZero() {
			used = append(used, g.created.domain)
		}
	}
	w.m.mu.Unlock()
	for {
		if n := uint16(1 + w.r.IntN(12)); !slices.Contains(used, n) {
			return n
		}
	}
}

// create begins a life, unless the manager refuses what it is told of it.
func (w *lifeWorld) create(u UUID, tell bool) error {
	v := w.of[u]
	v.guest = nil
	v.guest = &life{domain: w.number(tell)}
	if !tell {
		return nil
	}
	if again := max(v.prepared, v.last); again != 0 && w.r.IntN(3) != 0 && !w.inUse(again) {
		v.guest.domain = again
	}
	return w.tellOf(u)
}

func (w *lifeWorld) inUse(domain uint16) bool {
	for _, v := range w.of {
		if v.guest != nil && v.guest.domain == domain {
			return true
		}
	}
	return false
}

// tellOf has the host tell of a guest, which ends if the order is refused.
func (w *lifeWorld) tellOf(u UUID) error {
	v := w.of[u]
	err := w.tell(u, v.guest.domain)
	if e := w.past[len(w.past)-1]; e.kind == "told" {
		v.guest.told, v.guest.program, v.guest.sure = true, e.program, true
	} else {
		v.guest = nil
	}
	return err
}

// doubt says that words may have been forgotten.
func (w *lifeWorld) doubt() {
	for _, v := range w.of {
		if v.guest != nil {
			v.guest.sure = false
		}
	}
}

// link connects a vTPM's ring again: it tells which domain it serves.
func (w *lifeWorld) link(u UUID) {
	w.t.Helper()
	w.wordWorld.connect(u)
	w.doubt()
	if v := w.of[u]; v.last != 0 {
		_, err := w.clients[u].Guest(v.last, true)
		w.must(err)
	}
}

// serve connects a guest to its vTPM.
func (w *lifeWorld) serve(u UUID) error {
	v, c := w.of[u], w.clients[u]
	g := v.guest
	if g == nil {
		return nil
	}
	first := v.last != g.domain
	if first && v.prepared != g.domain {
		if err := w.prepare(u, g); err != nil || v.prepared == 0 {
			return err
		}
		if w.r.IntN(4) == 0 {
			return w.interrupt(u)
		}
	}
	if _, err := c.Guest(g.domain, true); err != nil {
		return nil
	}
	v.last, v.holder, v.prepared = g.domain, g, 0
	sure := g.sure && first && v.pcrs == g
	g.sure = false // used up
	if s := w.start(u); sure && (!s.Start.Created || s.Start.Measured != (g.program != nil)) {
		return fmt.Errorf("a guest that was told of and has its TPM: %+v", s)
	}
	return nil
}

// prepare has a vTPM ask about a guest and make its TPM ready for it.
func (w *lifeWorld) prepare(u UUID, g *life) error {
	v := w.of[u]
	start, err := w.clients[u].Guest(g.domain, false)
	if g.sure && (err != nil || !start.Created || start.Measured != (g.program != nil)) {
		return fmt.Errorf("a guest that was told of: %+v, %w", start, err)
	}
	if err != nil {
		return nil
	}
	v.last, v.holder, v.prepared, v.pcrs = 0, nil, g.domain, nil
	if start.Created {
		v.pcrs = g
	}
	return nil
}

// interrupt is what happens between that and the guest's having the TPM.
func (w *lifeWorld) interrupt(u UUID) error {
	v := w.of[u]
	switch w.r.IntN(4) {
	case 0:
		w.link(u)
	case 1:
		return w.create(u, true)
	case 2:
		err := w.tellOf(u) // of a guest whose PCRs may be capped already
		if v.guest != nil {
			v.guest.sure = false
		}
		return err
	}
	return nil
}

func (w *lifeWorld) start(u UUID) proto.GuestStart {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return w.m.guestStart(u)
}

// check looks at what the manager would state of each guest.
func (w *lifeWorld) check() error {
	for _, u := range w.vtpms {
		v, s := w.of[u], w.start(u)
		switch h := v.holder; {
		case !s.Start.Created && !s.Start.Measured:
		case h == nil || v.pcrs != h || s.Domain != h.domain || !h.told:
			return fmt.Errorf("vTPM %x has the PCRs of %+v, and %+v has it: %+v", u[0], v.pcrs, h, s)
		case s.Start.Measured && (h.program == nil || s.Program != *h.program):
			return fmt.Errorf("vTPM %x: %+v is said to have started with %+v", u[0], h, s)
		case s.Start.Measured:
			w.stated++
		}
	}
	return nil
}

func (w *lifeWorld) step() (what string, err error) {
	u := w.vtpms[w.r.IntN(3)]
	v := w.of[u]
	what = fmt.Sprintf("%x: ", u[0])
	switch n := w.r.IntN(20); {
	case n < 5:
		return what + "created", w.create(u, true)
	case n < 6:
		return what + "created, not told", w.create(u, false)
	case n < 7 && v.guest != nil && v.holder != v.guest:
		return what + "told again", w.tellOf(u)
	case n < 8 && v.guest != nil:
		v.guest = &life{domain: w.number(false)} // nothing of before counts
		return what + "saved and restored", nil
	case n < 9:
		v.last, v.holder, v.prepared, v.pcrs = 0, nil, 0, nil
		w.wordWorld.connect(u)
		return what + "the vTPM starts again", nil
	case n < 10:
		w.link(u)
		return what + "the ring is connected again", nil
	case n < 11:
		w.restart()
		for _, u := range w.vtpms {
			w.link(u)
		}
		return "the manager starts again", nil
	case n < 12:
		return "replayed", w.replay()
	}
	return what + "connects", w.serve(u)
}

// TestLives: what the manager states of a guest's start is true of the PCRs that its vTPM
// has: they are of the start of the domain that has the TPM, and the host told just that
// of it. And if nothing was lost it does state it.
func TestLives(t *testing.T) {
	t.Parallel()
	streams, steps := uint64(60), 200
	if testing.Short() {
		streams, steps = 16, 150
	}
	for seed := range streams {
		w := newLifeWorld(t, seed)
		var done []string
		for range steps {
			what, err := w.step()
			if err == nil {
				err = w.check()
			}
			if done = append(done, what); err != nil {
				t.Fatalf("stream %d: %v, after %q", seed, err, done)
			}
		}
		w.m.Close()
		if w.stated == 0 {
			t.Errorf("stream %d: no measured start was ever stated", seed)
		}
	}
}
