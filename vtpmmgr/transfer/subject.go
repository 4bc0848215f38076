package transfer

// A Kind is what a message is: its first byte.
type Kind byte

// Kinds.
const (
	KindRequest  Kind = kindRequest
	KindOffer    Kind = kindOffer
	KindOrder    Kind = kindOrder
	KindHandover Kind = kindHandover
	KindReceipt  Kind = kindReceipt
	KindRefusal  Kind = kindRefusal
	KindRelease  Kind = kindRelease
)

func (k Kind) String() string {
	names := [...]string{"message of another kind", "request", "offer", "order", "handover", "receipt", "refusal", "release"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// A Subject is what a message is about.
type Subject struct {
	Kind         Kind
	VTPM         ID
	Source       ID
	Target, Move ID // zeros of a request
}

// SubjectOf decodes a message as far as that says what it is about. Its error is a [Reason].
func SubjectOf(b []byte) (*Subject, error) {
	if len(b) == 0 {
		return nil, Malformed
	}
	s := &Subject{Kind: Kind(b[0])}
	var t *Terms
	switch s.Kind {
	case KindRequest:
		q, err := ParseRequest(b)
		if err != nil {
			return nil, err
		}
		s.VTPM, s.Source = q.VTPM, q.Source
		return s, nil
	case KindOffer:
		o, err := ParseOffer(b)
		if err != nil {
			return nil, err
		}
		t = &o.Terms
	case KindOrder:
		o, err := ParseOrder(b)
		if err != nil {
			return nil, err
		}
		t = &o.Terms
	case KindHandover:
		h, err := ParseHandover(b)
		if err != nil {
			return nil, err
		}
		t = &h.Terms
	default:
		n, err := parseNote(b, kindReceipt, kindRefusal, kindRelease)
		if err != nil {
			return nil, err
		}
		t = &Terms{Target: n.target, Source: n.source, VTPM: n.vtpm, Move: n.move}
	}
	s.VTPM, s.Source, s.Target, s.Move = t.VTPM, t.Source, t.Target, t.Move
	return s, nil
}

// Append appends the encoding of the rules, at most 648 bytes, to b.
func (r *Rules) Append(b []byte) []byte { return r.append(b) }

// ParseRules decodes rules. Its error is [Malformed].
func ParseRules(b []byte) (*Rules, error) {
	r := reader{b: b}
	v := r.rules()
	return &v, r.end()
}
