package vtpmmgr

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A transferStream is a transferWorld in which couriers do what they like with each message
// that ever left a manager.
type transferStream struct {
	*transferWorld
	r     *rand.Rand
	known [][]byte
	moves int // how often the vTPM came to be live elsewhere
	where *transferHost
}

// step does one thing, and tells which.
func (s *transferStream) step() string {
	h := s.a
	if s.r.IntN(2) == 0 {
		h = s.b
	}
	switch n := s.r.IntN(24); {
	case n < 2:
		what := s.commit(h)
		s.learn(h.step(proto.MoveRequest, s.u, nil))
		return what + ", request"
	case n < 3:
		s.learn(h.step(proto.MoveSourceAgain, s.u, nil))
		s.learn(h.step(proto.MoveTargetAgain, s.u, nil))
		return "again"
	case n < 4:
		s.must(h.restart())
		return "start"
	case n < 5:
		return s.commit(h)
	case n < 7:
		h.cutDisk(s.r.IntN(12))
		what := s.give(h)
		h.disk.Hook = nil
		s.must(h.restart())
		return what + ", cut off"
	}
	return s.give(h)
}

func (s *transferStream) learn(b []byte, err error) {
	if err != nil || len(b) == 0 {
		return
	}
	s.known = append(s.known, b)
	if transfer.Kind(b[0]) == transfer.KindOffer && s.r.IntN(4) != 0 {
		s.known = append(s.known, signOffer(s.t, b, testApprover))
	}
}

// give gives a message, mostly one of the last.
func (s *transferStream) give(h *transferHost) string {
	if len(s.known) == 0 {
		return "nothing"
	}
	i := len(s.known) - 1
	if s.r.IntN(3) == 0 {
		i = s.r.IntN(len(s.known))
	}
	b, step := s.known[i], proto.MoveGive
	if transfer.Kind(b[0]) == transfer.KindOffer {
		if s.r.IntN(8) != 0 {
			return "nothing"
		}
		step = proto.MoveRefuse
	}
	if s.r.IntN(5) != 0 {
		h = s.wanted(b)
	}
	out, err := h.step(step, s.u, b)
	s.learn(out, err)
	return fmt.Sprintf("%v: %v", transfer.Kind(b[0]), err)
}

// wanted returns the manager that a message is for.
func (s *transferStream) wanted(b []byte) *transferHost {
	m, err := transfer.SubjectOf(b)
	s.must(err)
	source, target := s.a, s.b
	if m.Source != transfer.ID(s.a.m.id) {
		source, target = s.b, s.a
	}
	switch m.Kind {
	case transfer.KindOrder, transfer.KindReceipt, transfer.KindRefusal:
		return source
	}
	return target
}

// commit has the vTPM commit where it is live, mostly a suspended state.
func (s *transferStream) commit(h *transferHost) string {
	if _, err := h.loads(s.u); err != nil {
		return "not here"
	}
	c, end := h.vtpm(s.u)
	defer end()
	s.must(second(c.Load()))
	do := c.CommitFrozen
	if s.r.IntN(4) == 0 {
		do = c.CommitUrgent
	}
	s.last++
	s.must(do(testState(s.last)))
	return "commit"
}

// check returns an error if both have the vTPM, or one has another state than the last.
func (s *transferStream) check() error {
	live := 0
	for _, h := range []*transferHost{s.a, s.b} {
		g, err := h.loads(s.u)
		if err != nil {
			continue
		}
		if live++; live > 1 {
			return fmt.Errorf("two are live")
		}
		if g.State.Sequence != s.last || g.State.Key != testState(s.last).Key {
			return fmt.Errorf("state %d is live, and %d was committed", g.State.Sequence, s.last)
		}
		if s.where != h {
			s.where = h
			s.moves++
		}
	}
	return nil
}

// TestTransferStreams: whatever couriers do with messages, disks fail and managers start again,
// at most one manager has the vTPM, with the last state, and in the end one has it.
func TestTransferStreams(t *testing.T) {
	t.Parallel()
	streams, steps := uint64(24), 400
	if testing.Short() {
		streams, steps = 6, 150
	}
	for seed := range streams {
		mode := moveModes()[seed%3]
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := &transferStream{transferWorld: newTransferWorld(t, mode), r: rand.New(rand.NewPCG(seed, 5))}
			for _, h := range []*transferHost{s.a, s.b} {
				h.m.offers = bucket{}
			}
			var done []string
			for range steps {
				done = append(done, s.step())
				if err := s.check(); err != nil {
					t.Fatalf("%v, after %q", err, done)
				}
				for _, h := range []*transferHost{s.a, s.b} {
					h.m.mu.Lock()
					h.m.offers = bucket{} // no limit here
					h.m.mu.Unlock()
				}
			}
			if n := s.finish(); n != 1 {
				t.Fatalf("%d are live in the end, after %q", n, done)
			}
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d moves", s.moves-1)
			if s.moves < 2 {
				t.Error("it never moved")
			}
		})
	}
}
