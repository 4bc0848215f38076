package transfer

import "fmt"

// A visit is called for each world that is one step away.
type visit func(to world, a act) error

// An act is what led from a world to another one.
type act struct {
	what          string
	manager       int
	op            op
	message, fail int32
}

func (a act) String() string {
	return fmt.Sprintf("%s: manager %d, op %d, message %d, store %d", a.what, a.manager, a.op, a.message, a.fail)
}

// from visits all worlds that are one step away.
func (s *search) from(w world, b bounds, visit visit) error {
	known := s.known(&w)
	for i := range w.at {
		if err := s.alone(w, b, i, visit); err != nil {
			return err
		}
		for _, m := range known {
			if err := s.give(w, b, i, m, visit); err != nil {
				return err
			}
			for _, f := range s.forgeries(m) {
				if err := s.give(w, b, i, f, visit); err != nil {
					return err
				}
			}
		}
	}
	return s.approve(w, known, visit)
}

// alone visits what a manager does without a message.
func (s *search) alone(w world, b bounds, i int, visit visit) error {
	l, st := s.locals[w.at[i]], s.states[w.at[i]]
	to := w
	to.at[i] = s.other(s.crashed, i, w.at[i], func(l *local) { l.nonce = Hash{} })
	if err := visit(to, act{what: "crash", manager: i}); err != nil {
		return err
	}
	if serves(s.fault, st.Phase) && l.sequence < b.top {
		if l.sequence < w.top {
			return violation{"two vTPMs answer their guests"}
		}
		to := w
		to.at[i] = s.other(s.worked, i, w.at[i], func(l *local) { l.sequence++ })
		to.top++
		if err := visit(to, act{what: "commit", manager: i}); err != nil {
			return err
		}
	}
	if l.draws < b.draws[i] || l.nonce != (Hash{}) {
		if err := s.ask(w, i, opRequest, -1, visit); err != nil {
			return err
		}
	}
	for _, o := range []op{opAgainSource, opAgainTarget} {
		if err := s.ask(w, i, o, -1, visit); err != nil {
			return err
		}
	}
	return s.faulty(w, i, visit)
}

// other returns a local after a change.
func (s *search) other(memo map[int32]int32, i int, at int32, change func(*local)) int32 {
	n, ok := memo[at]
	if !ok {
		l := s.locals[at]
		change(&l)
		n = s.local(i, l)
		memo[at] = n
	}
	return n
}

// approve visits the approver, who signs an offer.
func (s *search) approve(w world, known []int32, visit visit) error {
	for _, m := range known {
		if s.messages[m][0] != kindOffer {
			continue
		}
		if s.signed[m] == 0 {
			o, _ := ParseOffer(s.messages[m])
			s.signed[m] = s.message(sign(o).Append(nil))
		}
		to := w
		s.learn(&to, s.signed[m])
		if err := visit(to, act{what: "approver", message: m}); err != nil {
			return err
		}
	}
	return nil
}

// give visits what a manager does with a message.
func (s *search) give(w world, b bounds, i int, m int32, visit visit) error {
	for _, o := range opsOf(s.messages[m]) {
		if o == opOffer && s.locals[w.at[i]].draws+3 > b.draws[i] && s.step(w.at[i], o, m, 0).stored {
			continue
		}
		if err := s.ask(w, i, o, m, visit); err != nil {
			return err
		}
	}
	return nil
}

// ask visits the ways in which a request of a manager can go: as it should, with a store
// that fails before or after it took effect, and with a crash then.
func (s *search) ask(w world, i int, o op, m int32, visit visit) error {
	for fail := range 3 {
		r := s.step(w.at[i], o, m, fail)
		a := act{"request", i, o, m, int32(fail)}
		if err := s.goes(w, i, r.next, r.out, a, visit); err != nil {
			return err
		}
		if fail == 0 && !r.stored {
			return nil
		}
		if r.early >= 0 {
			a.what = "early"
			if err := s.goes(w, i, r.crashed, r.early, a, visit); err != nil {
				return err
			}
		}
		if fail == 2 {
			a.what = "crash after"
			if err := s.goes(w, i, r.crashed, -1, a, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// goes visits the world in which a manager has become another local and a message left.
func (s *search) goes(w world, i int, next, out int32, a act, visit visit) error {
	if next == w.at[i] && out < 0 {
		s.steps++ // nothing has changed
		return nil
	}
	to := w
	if err := s.became(&to, i, w.at[i], next); err != nil {
		return fmt.Errorf("%w (%v)", err, a)
	}
	to.at[i] = next
	if out >= 0 {
		if err := s.left(&to, i, s.messages[out]); err != nil {
			return fmt.Errorf("%w (%v)", err, a)
		}
		s.learn(&to, out)
	}
	return visit(to, a)
}

// check looks at a world: one vTPM at most serves, it has all that was answered, and if
// none is live, sending again brings it back.
func (s *search) check(w *world) error {
	live := 0
	for _, at := range w.at {
		if serves(s.fault, s.states[at].Phase) {
			live++
			if s.locals[at].sequence != w.top {
				return violation{"the vTPM that serves is older than what was answered"}
			}
		}
	}
	if live > 1 {
		return violation{"two vTPMs are live"}
	}
	if live == 1 {
		return nil
	}
	err, ok := s.mended[w.at]
	if !ok {
		err = s.again(w.at)
		s.mended[w.at] = err
	}
	return err
}

// again brings a vTPM back with what the two managers still have, without any message that
// a courier kept.
func (s *search) again(at [2]int32) error {
	for i := range at {
		for _, o := range []op{opAgainSource, opAgainTarget} {
			at = s.dialogue(at, i, s.step(at[i], o, -1, 0).out)
			if s.states[at[0]].Phase == Live || s.states[at[1]].Phase == Live {
				return nil
			}
		}
	}
	return violation{"the vTPM is nowhere, and sending again does not bring it back"}
}

// dialogue delivers a message of a manager to the other one, its answer, and so on.
func (s *search) dialogue(at [2]int32, i int, out int32) [2]int32 {
	for out >= 0 && s.messages[out][0] != kindOffer {
		i = 1 - i
		r := s.step(at[i], opsOf(s.messages[out])[0], out, 0)
		at[i], out = r.next, r.out
	}
	return at
}
