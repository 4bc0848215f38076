package transfer

// An ID is the identifier of a manager, of a vTPM (its UUID) or of a move.
type ID [16]byte

// A Hash is a SHA-256 value or a nonce.
type Hash [32]byte

// version is that of every message.
const version = 1

// Kinds of messages: their first byte.
const (
	kindRequest  = 1
	kindOffer    = 2
	kindOrder    = 3
	kindHandover = 4
	kindReceipt  = 5
	kindRefusal  = 6
	kindRelease  = 7
)

// Largest sizes in bytes.
const (
	MaxMessage  = 10472 // of any message: a handover
	MaxEvidence = 8192  // of the evidence in a message
	maxSealed   = 2048  // of a sealed record
	keySize     = 32    // of an X25519 public key, and of a private one
	signature   = 64    // of Ed25519
)

// A Request is what a source wants an offer for.
type Request struct {
	Source, VTPM ID
	Nonce        Hash // of the source, in the offer's evidence
}

// Append appends the message, 66 bytes, to b.
func (q *Request) Append(b []byte) []byte {
	b = append(b, kindRequest, version)
	b = append(append(b, q.Source[:]...), q.VTPM[:]...)
	return append(b, q.Nonce[:]...)
}

// ParseRequest decodes a request. Its error is a [Reason].
func ParseRequest(b []byte) (*Request, error) {
	r := reader{b: b}
	if err := r.start(kindRequest); err != nil {
		return nil, err
	}
	q := &Request{Source: r.id(), VTPM: r.id(), Nonce: r.hash()}
	return q, r.end()
}

// Terms are what an offer says. The approver signs them.
type Terms struct {
	Target, Source, VTPM ID
	Move                 ID   // made by the target, for this offer only
	SourceNonce          Hash // of the request
	TargetNonce          Hash // for evidence of the source
	Key                  [keySize]byte
}

// append appends the terms, 162 bytes, to b.
func (t *Terms) append(b []byte) []byte {
	b = append(b, kindOffer, version)
	for _, id := range []ID{t.Target, t.Source, t.VTPM, t.Move} {
		b = append(b, id[:]...)
	}
	b = append(append(b, t.SourceNonce[:]...), t.TargetNonce[:]...)
	return append(b, t.Key[:]...)
}

func (r *reader) terms() (t Terms, err error) {
	if err := r.start(kindOffer); err != nil {
		return t, err
	}
	t = Terms{Target: r.id(), Source: r.id(), VTPM: r.id(), Move: r.id(), SourceNonce: r.hash(), TargetNonce: r.hash()}
	t.Key = [keySize]byte(r.take(keySize))
	return t, nil
}

// Hash names an offer.
func (t *Terms) Hash() Hash { return sum(t.append(nil)) }

// Approval returns what the approver of the vTPM's group signs by Ed25519, so that the vTPM
// may move as the terms say. No other message of the managers begins with these bytes.
func (t *Terms) Approval() []byte {
	return t.append([]byte("stubtpm move order 1\x00"))
}

// An Offer is a target's offer to take a vTPM. The evidence is for Terms.Hash and the
// source's nonce.
type Offer struct {
	Terms
	Evidence []byte
}

// Append appends the message to b.
func (o *Offer) Append(b []byte) []byte { return appendSized(o.append(b), o.Evidence) }

// ParseOffer decodes an offer. Its error is a [Reason].
func ParseOffer(b []byte) (*Offer, error) {
	r := reader{b: b}
	o, err := r.offer()
	if err != nil {
		return nil, err
	}
	return o, r.end()
}

func (r *reader) offer() (*Offer, error) {
	t, err := r.terms()
	if err != nil {
		return nil, err
	}
	return &Offer{t, r.sized(MaxEvidence)}, nil
}

// An Order is an offer that the approver has signed: see [Terms.Approval].
type Order struct {
	Signature [signature]byte
	Offer
}

// Append appends the message to b.
func (o *Order) Append(b []byte) []byte {
	b = append(append(b, kindOrder, version), o.Signature[:]...)
	return o.Offer.Append(b)
}

// ParseOrder decodes an order. Its error is a [Reason].
func ParseOrder(b []byte) (*Order, error) {
	r := reader{b: b}
	if err := r.start(kindOrder); err != nil {
		return nil, err
	}
	s := [signature]byte(r.take(signature))
	o, err := r.offer()
	if err != nil {
		return nil, err
	}
	return &Order{s, *o}, r.end()
}

// A Handover gives a vTPM to a target. The evidence is for Hash and the target's nonce.
type Handover struct {
	Terms
	Signature [signature]byte // of the order
	Sealed    []byte          // the record, for Terms.Key
	Evidence  []byte
}

// context is what the sealed record is bound to.
func (h *Handover) context() []byte {
	b := h.append([]byte{kindHandover, version})
	return append(b, h.Signature[:]...)
}

// body is the message without its evidence.
func (h *Handover) body() []byte { return appendSized(h.context(), h.Sealed) }

// Hash names the handover. It covers all but the evidence.
func (h *Handover) Hash() Hash { return sum(h.body()) }

// Append appends the message to b.
func (h *Handover) Append(b []byte) []byte {
	return appendSized(append(b, h.body()...), h.Evidence)
}

// ParseHandover decodes a handover. Its error is a [Reason].
func ParseHandover(b []byte) (*Handover, error) {
	r := reader{b: b}
	h, err := r.handover()
	if err != nil {
		return nil, err
	}
	h.Evidence = r.sized(MaxEvidence)
	return h, r.end()
}

func (r *reader) handover() (*Handover, error) {
	if err := r.start(kindHandover); err != nil {
		return nil, err
	}
	t, err := r.terms()
	if err != nil {
		return nil, err
	}
	return &Handover{Terms: t, Signature: [signature]byte(r.take(signature)), Sealed: r.sized(maxSealed)}, nil
}
