package transfer

import "errors"

// A Target is the manager that a vTPM may move to. It is not safe for concurrent use, nor
// beside a [Source] of the same vTPM.
type Target struct {
	Parts
	Vault Vault
	Place Place
}

// Offer answers a request. The same request has the same offer; another one makes an offer
// in place of the last, which is refused from then on.
func (t *Target) Offer(request []byte) ([]byte, error) {
	q, err := ParseRequest(request)
	if err != nil {
		return nil, err
	}
	st, err := t.Durable.Load()
	if err != nil {
		return nil, err
	}
	switch {
	case q.VTPM != t.VTPM:
		return nil, WrongVTPM
	case q.Source == t.Manager:
		return nil, SameManager
	}
	if err := free(st.Phase); err != nil {
		return nil, err
	}
	if o := st.Offer; o != nil && o.Refused == 0 && o.Terms.Source == q.Source && o.SourceNonce == q.Nonce {
		return t.offer(st)
	}
	o, err := t.fresh(q)
	if err != nil {
		return nil, err
	}
	st.Offer = o
	if err := t.Durable.Store(st); err != nil {
		return nil, err
	}
	return t.offer(st)
}

// free returns nil if a vTPM of a phase may come here.
func free(p Phase) error {
	switch p {
	case None, Gone:
		return nil
	case Live:
		return LiveHere
	case Received:
		return BeingReceived
	}
	return BeingSent
}

// fresh makes an offer with a key and a number of its own.
func (t *Target) fresh(q *Request) (*Offered, error) {
	o := &Offered{Terms: Terms{Target: t.Manager, Source: q.Source, VTPM: q.VTPM, SourceNonce: q.Nonce}}
	var private [keySize]byte
	for _, b := range [][]byte{o.Move[:], o.TargetNonce[:], private[:]} {
		if err := t.draw(b); err != nil {
			return nil, err
		}
	}
	var err error
	if o.Terms.Key, err = publicOf(private[:]); err != nil {
		return nil, err
	}
	if o.Key, err = t.Vault.Seal(private[:]); err != nil {
		return nil, err
	}
	clear(private[:])
	if len(o.Key) == 0 || len(o.Key) > maxKey {
		return nil, errors.New("transfer: key of the hardware TPM is empty or too large")
	}
	return o, nil
}

func (t *Target) offer(st *State) ([]byte, error) {
	o := &Offer{Terms: st.Offer.Terms}
	var err error
	if o.Evidence, err = t.attest(o.Hash(), o.SourceNonce); err != nil {
		return nil, err
	}
	return o.Append(nil), nil
}

// Receive takes a handover and returns the answer: a receipt, and taken is true, or a
// refusal. An error changes nothing: the handover may be given again.
func (t *Target) Receive(handover []byte) (answer []byte, taken bool, err error) {
	h, err := ParseHandover(handover)
	if err != nil {
		return nil, false, err
	}
	st, err := t.Durable.Load()
	if err != nil {
		return nil, false, err
	}
	if err := t.mine(&h.Terms); err != nil {
		return nil, false, err
	}
	if st.arrived(&h.Terms) {
		if h.Hash() != st.Handover {
			return nil, false, OtherHandover
		}
		answer, err = t.receipt(st)
		return answer, err == nil, err
	}
	o := st.Offer
	if o == nil || o.Terms != h.Terms || o.Refused != 0 {
		answer, err = t.refusal(&h.Terms, st)
		return answer, false, err
	}
	return t.take(st, h)
}

// mine returns nil if terms are this target's, about this vTPM.
func (t *Target) mine(m *Terms) error {
	switch {
	case m.VTPM != t.VTPM:
		return WrongVTPM
	case m.Target != t.Manager:
		return WrongTarget
	}
	return nil
}

// arrived reports whether the vTPM was received by an offer's move.
func (s *State) arrived(m *Terms) bool {
	return (s.Phase == Received || s.Phase == Live) && s.Last != nil && *s.Last == *m
}

// take receives a vTPM by the open offer, or refuses it.
func (t *Target) take(st *State, h *Handover) (answer []byte, taken bool, err error) {
	from, err := t.verify(h.Evidence, h.Hash(), h.TargetNonce, h.Terms.Source)
	if err != nil {
		return nil, false, err
	}
	r, err := t.record(st, h, from)
	var why Reason
	if errors.As(err, &why) {
		answer, err = t.refuse(st, why)
		return answer, false, err
	}
	if err != nil {
		return nil, false, err
	}
	next := &State{Phase: Received, Last: &h.Terms, Handover: h.Hash(), Record: r}
	if err := t.Durable.Store(next); err != nil {
		return nil, false, err
	}
	answer, err = t.receipt(next)
	return answer, err == nil, err
}

// record opens the record of a handover that the source has made, for the open offer. An
// error that wraps a Reason is why the target refuses.
func (t *Target) record(st *State, h *Handover, from *Claims) (*Record, error) {
	if err := free(st.Phase); err != nil {
		return nil, err
	}
	private, err := t.Vault.Open(st.Offer.Key)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	b, err := open(private, h.context(), h.Sealed)
	if err != nil {
		return nil, Undecryptable.because(err)
	}
	r, err := ParseRecord(b)
	if err != nil {
		return nil, err
	}
	if r.VTPM != t.VTPM {
		return nil, WrongRecord
	}
	key, err := t.Place.Approver(r)
	if err != nil {
		return nil, err
	}
	if err := approved(key, &h.Terms, h.Signature); err != nil {
		return nil, err
	}
	return r, t.Place.Take(r, from)
}

// Refuse refuses an offer of this target for good, whose bytes are given, and returns the
// refusal. After the receipt it fails with [ReceiptGiven]. Anybody may ask for it: a courier
// could have lost the messages too.
func (t *Target) Refuse(offer []byte) ([]byte, error) {
	o, err := ParseOffer(offer)
	if err != nil {
		return nil, err
	}
	st, err := t.Durable.Load()
	if err != nil {
		return nil, err
	}
	if err := t.mine(&o.Terms); err != nil {
		return nil, err
	}
	if st.arrived(&o.Terms) {
		return nil, ReceiptGiven
	}
	if st.Offer != nil && st.Offer.Terms == o.Terms && st.Offer.Refused == 0 {
		return t.refuse(st, Withdrawn)
	}
	return t.refusal(&o.Terms, st)
}

// refuse closes the open offer.
func (t *Target) refuse(st *State, why Reason) ([]byte, error) {
	st.Offer = &Offered{Terms: st.Offer.Terms, Refused: why}
	if err := t.Durable.Store(st); err != nil {
		return nil, err
	}
	return t.refusal(&st.Offer.Terms, st)
}

// refusal returns a refusal of terms that are not open. For those that this target does not
// know that is safe too: only a target makes a move's number, once, so that they are never
// open later.
func (t *Target) refusal(m *Terms, st *State) ([]byte, error) {
	why := UnknownMove
	if st.Offer != nil && st.Offer.Terms == *m {
		why = st.Offer.Refused
	}
	return t.attested(refusalOf(m, why), m.SourceNonce)
}

func (t *Target) receipt(st *State) ([]byte, error) {
	return t.attested(noteOf(kindReceipt, st.Last, st.Handover), st.Last.SourceNonce)
}

// Again returns what the source may be waiting for: the offer, the refusal or the receipt.
func (t *Target) Again() ([]byte, error) {
	st, err := t.Durable.Load()
	if err != nil {
		return nil, err
	}
	switch o := st.Offer; {
	case st.Phase == Received:
		return t.receipt(st)
	case o != nil && o.Refused == 0:
		return t.offer(st)
	case o != nil:
		return t.refusal(&o.Terms, st)
	}
	return nil, NotReceived
}

// Release takes the source's release. The vTPM is Live from then on.
func (t *Target) Release(release []byte) error {
	n, err := parseNote(release, kindRelease)
	if err != nil {
		return err
	}
	st, err := t.Durable.Load()
	if err != nil {
		return err
	}
	if st.Phase != Received && st.Phase != Live || st.Last == nil || st.Last.Move != n.move {
		return NotReceived
	}
	if err := n.about(st.Last); err != nil {
		return err
	}
	if n.handover != st.Handover {
		return OtherHandover
	}
	if _, err := t.verify(n.evidence, n.hash(), st.Last.TargetNonce, st.Last.Source); err != nil {
		return err
	}
	if st.Phase == Live {
		return nil
	}
	return t.Durable.Store(&State{Phase: Live, Last: st.Last, Handover: st.Handover})
}
