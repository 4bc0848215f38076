package transfer

import "crypto/ed25519"

// A Source is the manager where a vTPM is, or was until it was sent away. It is not safe
// for concurrent use, nor beside a [Target] of the same vTPM.
type Source struct {
	Parts
	Home Home

	// nonce is that of the request of now, zeros for no request. It is in memory only:
	// what was offered for an earlier life of the manager is void.
	nonce Hash
}

// Request returns the request for an offer: the same until an order was carried out.
func (s *Source) Request() ([]byte, error) {
	st, err := s.Durable.Load()
	if err != nil {
		return nil, err
	}
	if st.Phase != Live {
		return nil, NotLive
	}
	if s.nonce == (Hash{}) {
		if err := s.draw(s.nonce[:]); err != nil {
			s.nonce = Hash{}
			return nil, err
		}
	}
	return (&Request{s.Manager, s.VTPM, s.nonce}).Append(nil), nil
}

// Move carries out an order and returns the handover. The vTPM is Sent from then on. Given
// the same order again it returns the handover again.
func (s *Source) Move(order []byte) ([]byte, error) {
	o, err := ParseOrder(order)
	if err != nil {
		return nil, err
	}
	st, err := s.Durable.Load()
	if err != nil {
		return nil, err
	}
	switch st.Phase {
	case Live:
	case Sent:
		if *st.Last != o.Terms {
			return nil, AlreadySent
		}
		return s.handover(st)
	default:
		return nil, NotLive
	}
	if err := s.check(o); err != nil {
		return nil, err
	}
	r, err := s.record(o)
	if err != nil {
		return nil, err
	}
	h := &Handover{Terms: o.Terms, Signature: o.Signature}
	if h.Sealed, err = seal(o.Key, h.context(), r.Append(nil)); err != nil {
		return nil, Unattested.because(err) // an attested manager does not offer such a key
	}
	next := &State{Phase: Sent, Last: &o.Terms, Handover: h.Hash(), Body: h.body()}
	s.nonce = Hash{} // before the store, which may have taken effect even if it fails
	if err := s.Durable.Store(next); err != nil {
		return nil, err
	}
	return s.handover(next)
}

// check returns nil if an order is for this vTPM, answers the request and is signed.
func (s *Source) check(o *Order) error {
	switch {
	case o.VTPM != s.VTPM:
		return WrongVTPM
	case o.Terms.Source != s.Manager:
		return WrongSource
	case o.Target == s.Manager:
		return SameManager
	case s.nonce == (Hash{}) || o.SourceNonce != s.nonce:
		return NonceUsed
	}
	key, err := s.Home.Approver()
	if err != nil {
		return err
	}
	return approved(key, &o.Terms, o.Signature)
}

func approved(key ed25519.PublicKey, t *Terms, sig [signature]byte) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, t.Approval(), sig[:]) {
		return Unapproved
	}
	return nil
}

// record returns the vTPM's record once it may go to the target, which has attested itself.
func (s *Source) record(o *Order) (*Record, error) {
	c, err := s.verify(o.Evidence, o.Hash(), o.SourceNonce, o.Target)
	if err != nil {
		return nil, err
	}
	r, err := s.Home.Record()
	if err != nil {
		return nil, NotFrozen.because(err)
	}
	if r.VTPM != s.VTPM || r.check() != nil {
		return nil, WrongRecord
	}
	return r, r.Rules.Allow(c)
}

// Again returns what the other manager may be waiting for: the handover of a vTPM that is
// Sent, the release of one that is Gone.
func (s *Source) Again() ([]byte, error) {
	st, err := s.Durable.Load()
	if err != nil {
		return nil, err
	}
	switch st.Phase {
	case Sent:
		return s.handover(st)
	case Gone:
		return s.release(st)
	}
	return nil, NotSent
}

func (s *Source) handover(st *State) ([]byte, error) {
	h, err := st.handover()
	if err != nil {
		return nil, err
	}
	if h.Evidence, err = s.attest(st.Handover, st.Last.TargetNonce); err != nil {
		return nil, err
	}
	return h.Append(nil), nil
}

func (s *Source) release(st *State) ([]byte, error) {
	return s.attested(noteOf(kindRelease, st.Last, st.Handover), st.Last.TargetNonce)
}

// Answer takes a target's receipt or refusal. After a receipt the vTPM is Gone, moved is
// true, and release has the target's vTPM serve. After a refusal it is Live again.
func (s *Source) Answer(answer []byte) (release []byte, moved bool, err error) {
	n, err := parseNote(answer, kindReceipt, kindRefusal)
	if err != nil {
		return nil, false, err
	}
	st, err := s.Durable.Load()
	if err != nil {
		return nil, false, err
	}
	if err := s.answers(n, st); err != nil {
		return nil, false, err
	}
	if n.kind == kindRefusal {
		return nil, false, s.Durable.Store(&State{Phase: Live})
	}
	if st.Phase == Sent {
		st = &State{Phase: Gone, Last: st.Last, Handover: st.Handover}
		if err := s.Durable.Store(st); err != nil {
			return nil, false, err
		}
	}
	release, err = s.release(st)
	return release, true, err
}

// answers returns nil if a note is the target's answer to what was sent.
func (s *Source) answers(n *note, st *State) error {
	if st.Phase != Sent && st.Phase != Gone || st.Last.Move != n.move {
		return NotSent
	}
	if err := n.about(st.Last); err != nil {
		return err
	}
	if _, err := s.verify(n.evidence, n.hash(), st.Last.SourceNonce, st.Last.Target); err != nil {
		return err
	}
	if n.kind == kindRefusal {
		if st.Phase == Gone {
			return AlreadyGone
		}
		return nil
	}
	if n.handover != st.Handover {
		return OtherHandover
	}
	return nil
}
