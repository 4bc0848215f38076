package transfer

import (
	"bytes"
	"errors"
	"math/bits"
)

// A world is two managers, the messages that couriers have, and what has happened. A
// message that couriers have can be given to either manager at any time, as often as they
// like, or never: so loss, repetition, delay and reordering are all in it.
type world struct {
	at    [2]int32   // locals
	known [12]uint64 // by slot

	// By number of an offer's terms, what some manager has stored.
	offered, sent, gone, received, lived, closed uint64

	top uint64 // last sequence that was answered
}

// bounds are what a search is limited to, besides its depth.
type bounds struct {
	depth int
	draws [2]int32 // random numbers of each manager: one for a request, three for an offer
	top   uint64   // last sequence
}

type edge struct {
	at int32
	op
	message int32
	fail    byte
}

type outcome struct {
	next, crashed int32 // locals
	out           int32 // message, -1 for none
	stored        bool
	early         int32 // message that left although nothing was stored
}

// A search goes breadth-first through all that can happen.
type search struct {
	fault    *fault
	locals   []local
	states   []*State
	index    []int // which manager a local is
	localOf  map[numbered]int32
	crashed  map[int32]int32 // locals after a crash
	worked   map[int32]int32 // locals after a commit of the vTPM
	messages [][]byte
	number   map[string]int32
	forged   [][]int32
	slots    []int32 // messages that a manager or the approver has made
	slotOf   map[int32]int
	terms    []Terms
	hashes   []Hash // of terms
	termsOf  map[Terms]int
	memo     map[edge]outcome
	mended   map[[2]int32]error
	seen     map[world]struct{}
	steps    int
	trace    map[world]from
	signed   map[int32]int32 // orders by offers
}

type from struct {
	world
	act
}

func newSearch(f *fault) *search {
	return &search{fault: f, localOf: map[numbered]int32{}, crashed: map[int32]int32{}, worked: map[int32]int32{}, number: map[string]int32{}, termsOf: map[Terms]int{}, memo: map[edge]outcome{},
		mended: map[[2]int32]error{}, seen: map[world]struct{}{}, slotOf: map[int32]int{}, signed: map[int32]int32{}, trace: map[world]from{}}
}

// A numbered is a local of one of the managers.
type numbered struct {
	index int
	local
}

func (s *search) local(index int, l local) int32 {
	key := numbered{index, l}
	n, ok := s.localOf[key]
	if !ok {
		n = int32(len(s.locals))
		s.locals, s.states, s.index = append(s.locals, l), append(s.states, stateOf(l)), append(s.index, index)
		s.localOf[key] = n
	}
	return n
}

func (s *search) message(b []byte) int32 {
	if b == nil {
		return -1
	}
	n, ok := s.number[string(b)]
	if !ok {
		n = int32(len(s.messages))
		s.messages, s.forged = append(s.messages, b), append(s.forged, nil)
		s.number[string(b)] = n
	}
	return n
}

func (s *search) learn(w *world, m int32) {
	n, ok := s.slotOf[m]
	if !ok {
		n = len(s.slots)
		s.slots = append(s.slots, m)
		s.slotOf[m] = n
	}
	w.known[n/64] |= 1 << (n % 64)
}

// known returns the messages that couriers have.
func (s *search) known(w *world) []int32 {
	all := make([]int32, 0, 64)
	for i, word := range w.known {
		for ; word != 0; word &= word - 1 {
			all = append(all, s.slots[64*i+bits.TrailingZeros64(word)])
		}
	}
	return all
}

func (s *search) bit(t *Terms) uint64 {
	n, ok := s.termsOf[*t]
	if !ok {
		n = len(s.terms)
		s.terms, s.hashes = append(s.terms, *t), append(s.hashes, t.Hash())
		s.termsOf[*t] = n
	}
	if n >= 64 {
		panic("more than 64 offers")
	}
	return 1 << n
}

// forgeries are messages that couriers can make of one that they have. The approver is
// careless: it signs what looks like an offer of the target.
func (s *search) forgeries(m int32) []int32 {
	if s.forged[m] == nil {
		s.forged[m] = []int32{}
		for _, b := range forge(s.messages[m]) {
			s.forged[m] = append(s.forged[m], s.message(b))
		}
	}
	return s.forged[m]
}

func forge(b []byte) (all [][]byte) {
	outside := &site{self: managers[0], image: 1, forged: true}
	switch b[0] {
	case kindOffer:
		o, _ := ParseOffer(b)
		all = append(all, (&Order{Offer: *o}).Append(nil)) // unsigned
		mine := *o
		mine.Terms.Key, _ = publicOf(bytes.Repeat([]byte{9}, keySize))
		all = append(all, sign(&mine).Append(nil)) // with the evidence of another offer
	case kindOrder:
		o, _ := ParseOrder(b)
		h := &Handover{Terms: o.Terms, Signature: o.Signature}
		r := &Record{VTPM: o.VTPM, Sequence: 1, Group: "mail"}
		h.Sealed, _ = seal(o.Key, h.context(), r.Append(nil))
		outside.self = o.Terms.Source
		h.Evidence, _ = outside.Attest(h.Hash(), o.TargetNonce)
		all = append(all, h.Append(nil)) // of a source outside of the site
		outside.self = o.Target
		n := refusalOf(&o.Terms, Withdrawn)
		n.evidence, _ = outside.Attest(n.hash(), o.SourceNonce)
		all = append(all, n.append(nil))
	case kindReceipt:
		n, _ := parseNote(b, kindReceipt)
		refusal, release := *n, *n
		refusal.kind, refusal.reason, refusal.handover = kindRefusal, Withdrawn, Hash{}
		all = append(all, refusal.append(nil)) // with the evidence of the receipt
		release.kind = kindRelease
		outside.self = n.source
		release.evidence, _ = outside.Attest(release.hash(), Hash{})
		all = append(all, release.append(nil))
	case kindHandover:
		h, _ := ParseHandover(b)
		n := noteOf(kindRelease, &h.Terms, h.Hash())
		n.evidence = h.Evidence
		all = append(all, n.append(nil)) // with the evidence of the handover
	}
	return all
}

// step asks something of a manager; fail is as in disk.
func (s *search) step(at int32, o op, message int32, fail int) outcome {
	e := edge{at, o, message, byte(fail)}
	if r, ok := s.memo[e]; ok {
		return r
	}
	var in []byte
	if message >= 0 {
		in = s.messages[message]
	}
	index := s.index[at]
	p := play(s.locals[at], index, fail, s.fault)
	out, err := p.with(s.fault, o, in)
	if err != nil {
		out = nil
	}
	if p.disk.stores > 1 {
		panic("more than one store in a step")
	}
	r := outcome{out: s.message(out), stored: p.disk.stores > 0, early: -1}
	if fail == 1 && s.fault != nil && errors.Is(err, errFault) {
		r.early = s.early(at, o, message)
	}
	l := p.end()
	r.next = s.local(index, l)
	l.nonce = Hash{}
	r.crashed = s.local(index, l)
	s.memo[e] = r
	return r
}

// early returns the message that leaves before it is stored, by a fault.
func (s *search) early(at int32, o op, message int32) int32 {
	r := s.step(at, o, message, 0)
	if r.out >= 0 && s.messages[r.out][0] == s.fault.early {
		return r.out
	}
	return -1
}

// A violation is an invariant that does not hold.
type violation struct{ what string }

func (v violation) Error() string { return v.what }

// run searches from a vTPM that is live at the first manager. It returns the depth that was
// reached, and whether nothing further can happen within the bounds.
func (s *search) run(b bounds) (depth int, whole bool, err error) {
	live := string((&State{Phase: Live}).Append(nil))
	none := string((&State{}).Append(nil))
	w := world{at: [2]int32{s.local(0, local{disk: live, sequence: 1}), s.local(1, local{disk: none})}, top: 1}
	s.seen[w] = struct{}{}
	level := []world{w}
	for depth = 0; len(level) > 0 && depth < b.depth; depth++ {
		var next []world
		for _, w := range level {
			err := s.from(w, b, func(to world, a act) error {
				s.steps++
				if _, ok := s.seen[to]; ok {
					return nil
				}
				s.seen[to] = struct{}{}
				if s.fault != nil {
					s.trace[to] = from{w, a}
				}
				next = append(next, to)
				return s.check(&to)
			})
			if err != nil {
				return depth + 1, false, err
			}
		}
		level = next
	}
	return depth, len(level) == 0, nil
}
