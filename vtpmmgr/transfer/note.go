package transfer

// A note is a receipt, a refusal or a release: short messages about one move. Evidence of
// a target is for the note's hash and the source's nonce, and the other way around.
type note struct {
	kind                 byte
	reason               Reason // of a refusal only
	target, source, vtpm ID
	move                 ID
	offer                Hash // Terms.Hash
	handover             Hash // Handover.Hash; zeros in a refusal
	evidence             []byte
}

// noteOf returns a note about a move.
func noteOf(kind byte, t *Terms, handover Hash) *note {
	return &note{kind: kind, target: t.Target, source: t.Source, vtpm: t.VTPM, move: t.Move, offer: t.Hash(), handover: handover}
}

func refusalOf(t *Terms, why Reason) *note {
	n := noteOf(kindRefusal, t, Hash{})
	n.reason = why
	return n
}

func (n *note) body(b []byte) []byte {
	b = append(b, n.kind, version, byte(n.reason))
	for _, id := range []ID{n.target, n.source, n.vtpm, n.move} {
		b = append(b, id[:]...)
	}
	return append(append(b, n.offer[:]...), n.handover[:]...)
}

func (n *note) hash() Hash { return sum(n.body(nil)) }

func (n *note) append(b []byte) []byte { return appendSized(n.body(b), n.evidence) }

// parseNote decodes a note of one of some kinds.
func parseNote(b []byte, kinds ...byte) (*note, error) {
	if len(b) < 2 {
		return nil, Malformed
	}
	n := &note{}
	for _, k := range kinds {
		if b[0] == k {
			n.kind = k
		}
	}
	r := reader{b: b}
	if n.kind == 0 {
		return nil, WrongKind
	}
	if err := r.start(n.kind); err != nil {
		return nil, err
	}
	n.reason = Reason(r.u8())
	n.target, n.source, n.vtpm, n.move, n.offer, n.handover = r.id(), r.id(), r.id(), r.id(), r.hash(), r.hash()
	n.evidence = r.sized(MaxEvidence)
	if refusal := n.kind == kindRefusal; refusal != (n.reason != 0) || refusal != (n.handover == Hash{}) || n.reason >= reasonsEnd {
		return nil, Malformed
	}
	return n, r.end()
}

// about returns nil if the note is about the move of an offer.
func (n *note) about(t *Terms) error {
	switch {
	case n.vtpm != t.VTPM:
		return WrongVTPM
	case n.source != t.Source:
		return WrongSource
	case n.target != t.Target:
		return WrongTarget
	case n.offer != t.Hash():
		return OtherOffer
	}
	return nil
}

// Refused returns why an answer of a target refuses, and false for a receipt and for what
// is no answer. It does not look at the evidence.
func Refused(answer []byte) (Reason, bool) {
	n, err := parseNote(answer, kindRefusal)
	if err != nil {
		return 0, false
	}
	return n.reason, true
}
