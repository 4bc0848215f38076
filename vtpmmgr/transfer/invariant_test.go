package transfer

import "fmt"

// became checks what a manager has stored, against all that has happened.
func (s *search) became(w *world, i int, from, to int32) error {
	before, after := s.states[from], s.states[to]
	if from == to || s.locals[from].disk == s.locals[to].disk {
		return nil
	}
	if err := s.offers(w, before.Offer, after.Offer); err != nil {
		return err
	}
	if before.Phase == after.Phase {
		return nil
	}
	switch {
	case before.Phase == Live && after.Phase == Sent:
		return s.leaves(w, after)
	case before.Phase == Sent && after.Phase == Gone:
		m := s.bit(before.Last)
		if w.received&m == 0 {
			return violation{"gone, but not received"}
		}
		w.gone |= m
	case before.Phase == Sent && after.Phase == Live:
		m := s.bit(before.Last)
		if w.closed&m == 0 || w.received&m != 0 {
			return violation{"live again, but the target did not refuse for good"}
		}
	case (before.Phase == None || before.Phase == Gone) && after.Phase == Received:
		return s.arrives(w, after)
	case before.Phase == Received && after.Phase == Live:
		m := s.bit(before.Last)
		if w.gone&m == 0 {
			return violation{"live at the target, but not gone at the source"}
		}
		if w.lived&m != 0 {
			return violation{"live by the same move again"}
		}
		w.lived |= m
	default:
		return violation{fmt.Sprintf("a vTPM that was %v is %v", before.Phase, after.Phase)}
	}
	return nil
}

// offers checks a new or closed offer.
func (s *search) offers(w *world, before, after *Offered) error {
	if before != nil && before.Refused == 0 && (after == nil || after.Terms != before.Terms || after.Refused != 0) {
		w.closed |= s.bit(&before.Terms)
	}
	if after == nil || after.Refused != 0 || before != nil && before.Terms == after.Terms && before.Refused == 0 {
		return nil
	}
	for n := range s.terms {
		if w.offered>>n&1 != 0 && s.terms[n].Move == after.Move {
			return violation{"a move's number was used twice"}
		}
	}
	w.offered |= s.bit(&after.Terms)
	return nil
}

// leaves checks a vTPM that was sent away: by an order, to a manager that made the offer.
func (s *search) leaves(w *world, st *State) error {
	m := s.bit(st.Last)
	switch {
	case w.offered&m == 0:
		return violation{"sent by an offer that no target has made: the record is readable elsewhere"}
	case w.sent&m != 0:
		return violation{"sent by the same offer again"}
	case !s.ordered(w, st.Last):
		return violation{"sent without an order"}
	}
	w.sent |= m
	return nil
}

func (s *search) ordered(w *world, t *Terms) bool {
	for _, m := range s.known(w) {
		if b := s.messages[m]; b[0] == kindOrder {
			if o, err := ParseOrder(b); err == nil && o.Terms == *t {
				return true
			}
		}
	}
	return false
}

// arrives checks a vTPM that was received. offers has closed its offer already.
func (s *search) arrives(w *world, st *State) error {
	m := s.bit(st.Last)
	switch {
	case w.received&m != 0:
		return violation{"received by the same move again"}
	case w.sent&m == 0:
		return violation{"received, but not sent"}
	case st.Record.Sequence != w.top:
		return violation{"received older than what was answered"}
	case s.live(w):
		return violation{"received while it is live"}
	}
	w.received |= m
	return nil
}

func (s *search) live(w *world) bool {
	return s.states[w.at[0]].Phase == Live || s.states[w.at[1]].Phase == Live
}

// left checks a message that leaves a manager against what that has stored.
func (s *search) left(w *world, i int, b []byte) error {
	st := s.states[w.at[i]]
	switch b[0] {
	case kindOffer:
		o, _ := ParseOffer(b)
		if st.Offer == nil || st.Offer.Terms != o.Terms || st.Offer.Refused != 0 {
			return violation{"an offer left that is not stored"}
		}
	case kindHandover:
		h, _ := ParseHandover(b)
		if st.Phase != Sent || st.Handover != h.Hash() {
			return violation{"a handover left that is not stored"}
		}
	case kindReceipt, kindRelease:
		n, _ := parseNote(b, b[0])
		stored := st.Phase == Gone
		if b[0] == kindReceipt {
			stored = st.Phase == Received || st.Phase == Live
		}
		if !stored || st.Last == nil || st.Last.Move != n.move || st.Handover != n.handover {
			return violation{"a receipt or release left that is not stored"}
		}
	case kindRefusal:
		return s.refused(w, st, b)
	}
	return nil
}

// refused checks a refusal: its offer is not open, and it was not received, or so long ago
// that the source cannot take a refusal for it any more.
func (s *search) refused(w *world, st *State, b []byte) error {
	n, _ := parseNote(b, kindRefusal)
	for i := range s.terms {
		if s.hashes[i] != n.offer {
			continue
		}
		m := uint64(1) << i
		if st.Offer != nil && st.Offer.Terms == s.terms[i] && st.Offer.Refused == 0 {
			return violation{"a refusal left of an offer that is open"}
		}
		if w.received&m != 0 && w.lived&m == 0 {
			return violation{"a refusal left after the receipt"}
		}
	}
	return nil
}
