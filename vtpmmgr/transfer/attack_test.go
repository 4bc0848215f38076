package transfer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

// A pair is two managers that run, the vTPM at a, and the messages of its move to b.
type pair struct {
	t    *testing.T
	a, b *player

	request, offer, order, handover, answer, release []byte
}

func newPair(t *testing.T) *pair {
	live := local{disk: string((&State{Phase: Live}).Append(nil)), sequence: 1}
	none := local{disk: string((&State{}).Append(nil))}
	return &pair{t: t, a: play(live, 0, 0, nil), b: play(none, 1, 0, nil)}
}

func (p *pair) must(b []byte, err error) []byte {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// upTo runs the move up to a message: 'r'equest, 'o'ffer, 'O'rder, 'h'andover, 'a'nswer,
// 'R'elease, or to its 'e'nd.
func (p *pair) upTo(what byte) *pair {
	p.t.Helper()
	steps := []struct {
		name byte
		do   func()
	}{
		{'r', func() { p.request = p.must(p.a.do(opRequest, nil)) }},
		{'o', func() { p.offer = p.must(p.b.do(opOffer, p.request)) }},
		{'O', func() { o, _ := ParseOffer(p.offer); p.order = sign(o).Append(nil) }},
		{'h', func() { p.handover = p.must(p.a.do(opMove, p.order)) }},
		{'a', func() { p.answer = p.must(p.b.do(opReceive, p.handover)) }},
		{'R', func() { p.release = p.must(p.a.do(opAnswer, p.answer)) }},
		{'e', func() { p.must(p.b.do(opRelease, p.release)) }},
	}
	for _, s := range steps {
		s.do()
		if s.name == what {
			break
		}
	}
	return p
}

// back turns the pair around after a move, for one in the other direction.
func (p *pair) back() *pair {
	p.b.house.sequence = 1
	return &pair{t: p.t, a: p.b, b: p.a}
}

func (p *player) phase(t *testing.T) Phase {
	s, err := ParseState([]byte(p.disk.state))
	if err != nil {
		t.Fatal(err)
	}
	return s.Phase
}

// finish ends what is under way as an operator would, and reports how many vTPMs are live.
func (p *pair) finish() (live int) {
	for range 2 {
		for _, d := range [][2]*player{{p.a, p.b}, {p.b, p.a}} {
			out, err := d[0].do(opAgainSource, nil)
			for i := 1; err == nil && out != nil; i++ {
				out, err = d[i%2].do(opsOf(out)[0], out)
			}
			if out, err := d[0].do(opAgainTarget, nil); err == nil && out[0] == kindOffer {
				d[0].do(opRefuse, out)
			}
		}
	}
	for _, m := range []*player{p.a, p.b} {
		if m.phase(p.t) == Live {
			live++
		}
	}
	return live
}

// An attack ends with an error, or with an answer that refuses.
type attack struct {
	name string
	want error
	run  func(p *pair) (answer []byte, err error)
}

// changed returns a copy of a message with one byte changed.
func changed(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

var other = ID{'C', 3}

// otherPeer is a third manager of the site.
func otherPeer() *site { return &site{self: other, image: 1} }

// offerOf returns an order that is signed, of the pair's offer after a change, with evidence
// of a manager.
func (p *pair) offerOf(s *site, change func(*Terms)) []byte {
	p.upTo('o')
	o, _ := ParseOffer(p.offer)
	change(&o.Terms)
	o.Evidence, _ = s.Attest(o.Hash(), o.SourceNonce)
	return sign(o).Append(nil)
}

func nothing(*Terms) {}

// handoverOf returns the pair's handover with another record, by the source itself.
func (p *pair) handoverOf(change func(*Record), context func([]byte)) []byte {
	p.upTo('h')
	h, _ := ParseHandover(p.handover)
	r, _ := p.a.house.Record()
	change(r)
	c := h.context()
	context(c)
	h.Sealed, _ = seal(h.Key, c, r.Append(nil))
	h.Evidence, _ = p.a.site.Attest(h.Hash(), h.TargetNonce)
	return h.Append(nil)
}

// noteBy returns a note about the pair's move after a change, with evidence of a manager.
func (p *pair) noteBy(s *site, kind byte, change func(*note)) []byte {
	h, err := ParseHandover(p.handover)
	if err != nil {
		p.t.Fatal(err)
	}
	n := noteOf(kind, &h.Terms, h.Hash())
	nonce := h.SourceNonce
	switch kind {
	case kindRefusal:
		n.handover, n.reason = Hash{}, Withdrawn
	case kindRelease:
		nonce = h.TargetNonce
	}
	change(n)
	n.evidence, _ = s.Attest(n.hash(), nonce)
	return n.append(nil)
}

func asIs(*note) {}

func attacks() []attack {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))
	outside := func(id ID) *site { return &site{self: id, image: 1, forged: true} }
	return []attack{
		{"man in the middle, target's evidence and another key", Unattested, func(p *pair) ([]byte, error) {
			o, _ := ParseOffer(p.upTo('o').offer)
			o.Terms.Key, _ = publicOf(bytes.Repeat([]byte{9}, keySize))
			return p.a.do(opMove, sign(o).Append(nil))
		}},
		{"man in the middle of no site", Unattested, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.offerOf(outside(managers[1]), nothing))
		}},
		{"man in the middle of the same site", OtherPeer, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.offerOf(otherPeer(), nothing))
		}},
		{"target with an image that is not allowed", NotAllowed, func(p *pair) ([]byte, error) {
			p.a.house.rules.Images = []Hash{{2}}
			return p.a.do(opMove, p.upTo('O').order)
		}},
		{"target with an old image", NotAllowed, func(p *pair) ([]byte, error) {
			p.a.house.rules.SecurityVersion = 2
			return p.a.do(opMove, p.upTo('O').order)
		}},
		{"order that nobody signed", Unapproved, func(p *pair) ([]byte, error) {
			o, _ := ParseOffer(p.upTo('o').offer)
			return p.a.do(opMove, (&Order{Offer: *o}).Append(nil))
		}},
		{"order of another group's approver", Unapproved, func(p *pair) ([]byte, error) {
			o, _ := ParseOffer(p.upTo('o').offer)
			m := &Order{[signature]byte(ed25519.Sign(stranger, o.Approval())), *o}
			return p.a.do(opMove, m.Append(nil))
		}},
		{"signature for another target", Unapproved, func(p *pair) ([]byte, error) {
			m, _ := ParseOrder(p.upTo('O').order)
			m.Target = other
			m.Evidence, _ = otherPeer().Attest(m.Offer.Hash(), m.SourceNonce)
			return p.a.do(opMove, m.Append(nil))
		}},
		{"order for another vTPM", WrongVTPM, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.offerOf(p.b.site, func(t *Terms) { t.VTPM[0]++ }))
		}},
		{"order for another source", WrongSource, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.offerOf(p.b.site, func(t *Terms) { t.Source = other }))
		}},
		{"order to move a vTPM to where it is", SameManager, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.offerOf(p.a.site, func(t *Terms) { t.Target = t.Source }))
		}},
		{"offer for an earlier request", NonceUsed, func(p *pair) ([]byte, error) {
			p.upTo('O')
			p.a = play(p.a.end(), 0, 0, nil) // started again
			p.a.source.nonce = Hash{}
			p.must(p.a.do(opRequest, nil))
			return p.a.do(opMove, p.order)
		}},
		{"offer that was refused, given again", NonceUsed, func(p *pair) ([]byte, error) {
			p.upTo('h')
			p.must(p.a.do(opAnswer, p.must(p.b.do(opRefuse, p.offer))))
			return p.a.do(opMove, p.order)
		}},
		{"order while the guest runs", NotFrozen, func(p *pair) ([]byte, error) {
			p.a.house.frozen = errors.New("runs")
			return p.a.do(opMove, p.upTo('O').order)
		}},
		{"second order for another offer", AlreadySent, func(p *pair) ([]byte, error) {
			p.upTo('h')
			m, _ := ParseOrder(p.order)
			m.Move[0]++
			m.Evidence, _ = p.b.site.Attest(m.Offer.Hash(), m.SourceNonce)
			return p.a.do(opMove, sign(&m.Offer).Append(nil))
		}},
		{"order of a recorded move after its end", NotLive, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, p.upTo('e').order)
		}},
		{"sealed record changed", Unattested, func(p *pair) ([]byte, error) {
			h, _ := ParseHandover(p.upTo('h').handover)
			h.Sealed[40] ^= 1
			return p.b.do(opReceive, h.Append(nil))
		}},
		{"record of a stranger for the offer", Unattested, func(p *pair) ([]byte, error) {
			h, _ := ParseHandover(p.upTo('h').handover)
			h.Sealed, _ = seal(h.Key, h.context(), (&Record{VTPM: theVTPM, Sequence: 9, Group: "x"}).Append(nil))
			h.Evidence, _ = outside(managers[0]).Attest(h.Hash(), h.TargetNonce)
			return p.b.do(opReceive, h.Append(nil))
		}},
		{"handover of another manager of the site", OtherPeer, func(p *pair) ([]byte, error) {
			h, _ := ParseHandover(p.upTo('h').handover)
			h.Evidence, _ = otherPeer().Attest(h.Hash(), h.TargetNonce)
			return p.b.do(opReceive, h.Append(nil))
		}},
		{"handover given to another target", WrongTarget, func(p *pair) ([]byte, error) {
			p.upTo('h')
			third := play(local{disk: string((&State{}).Append(nil))}, 1, 0, nil)
			third.target.Manager = other
			return third.do(opReceive, p.handover)
		}},
		{"second handover for one offer", OtherHandover, func(p *pair) ([]byte, error) {
			again := p.handoverOf(func(r *Record) { r.Epoch++ }, func([]byte) {})
			p.must(p.b.do(opReceive, p.handover))
			return p.b.do(opReceive, again)
		}},
		{"replay of a whole recorded move", UnknownMove, func(p *pair) ([]byte, error) {
			p.upTo('e').back().upTo('e') // there and back
			return p.b.do(opReceive, p.handover)
		}},
		{"target in another PCR state", KeyWithheld, func(p *pair) ([]byte, error) {
			p.upTo('h').b.target.Vault = &chip{2}
			return p.b.do(opReceive, p.handover)
		}},
		{"state of another guest", WrongRecord, func(p *pair) ([]byte, error) {
			return p.b.do(opReceive, p.handoverOf(func(r *Record) { r.VTPM[0]++ }, func([]byte) {}))
		}},
		{"record sealed for another offer", Undecryptable, func(p *pair) ([]byte, error) {
			return p.b.do(opReceive, p.handoverOf(func(*Record) {}, func(c []byte) { c[5] ^= 1 }))
		}},
		{"group of the same name with another approver", Unapproved, func(p *pair) ([]byte, error) {
			p.upTo('h').b.house.key = stranger.Public().(ed25519.PublicKey)
			return p.b.do(opReceive, p.handover)
		}},
		{"group without room at the target", NotTaken, func(p *pair) ([]byte, error) {
			p.upTo('h').b.house.take = NotTaken
			return p.b.do(opReceive, p.handover)
		}},
		{"vTPM with the same UUID at the target", LiveHere, func(p *pair) ([]byte, error) {
			return p.upTo('e').b.do(opOffer, p.request)
		}},
		{"offer wanted for a vTPM that is on its way", BeingReceived, func(p *pair) ([]byte, error) {
			return p.upTo('a').b.do(opOffer, (&Request{other, theVTPM, Hash{1}}).Append(nil))
		}},
		{"offer wanted for a vTPM that is being sent", BeingSent, func(p *pair) ([]byte, error) {
			return p.upTo('h').a.do(opOffer, (&Request{other, theVTPM, Hash{1}}).Append(nil))
		}},
		{"receipt made into a refusal", Unattested, func(p *pair) ([]byte, error) {
			n, _ := parseNote(p.upTo('a').answer, kindReceipt)
			n.kind, n.reason, n.handover = kindRefusal, Withdrawn, Hash{}
			return p.a.do(opAnswer, n.append(nil))
		}},
		{"receipt of another manager of the site", OtherPeer, func(p *pair) ([]byte, error) {
			return p.a.do(opAnswer, p.upTo('h').noteBy(otherPeer(), kindReceipt, asIs))
		}},
		{"receipt for other bytes", OtherHandover, func(p *pair) ([]byte, error) {
			return p.a.do(opAnswer, p.upTo('h').noteBy(p.b.site, kindReceipt, func(n *note) { n.handover[0]++ }))
		}},
		{"refusal of another offer", OtherOffer, func(p *pair) ([]byte, error) {
			return p.a.do(opAnswer, p.upTo('h').noteBy(p.b.site, kindRefusal, func(n *note) { n.offer[0]++ }))
		}},
		{"refusal of an earlier move", NotSent, func(p *pair) ([]byte, error) {
			refusal := p.must(p.upTo('h').b.do(opRefuse, p.offer))
			p.must(p.a.do(opAnswer, refusal))
			p.upTo('h')
			return p.a.do(opAnswer, refusal)
		}},
		{"refusal after the receipt", AlreadyGone, func(p *pair) ([]byte, error) {
			return p.a.do(opAnswer, p.upTo('R').noteBy(p.b.site, kindRefusal, asIs))
		}},
		{"target asked to refuse after the receipt", ReceiptGiven, func(p *pair) ([]byte, error) {
			return p.upTo('a').b.do(opRefuse, p.offer)
		}},
		{"release that the source has not given", Unattested, func(p *pair) ([]byte, error) {
			return p.b.do(opRelease, p.upTo('a').noteBy(outside(managers[0]), kindRelease, asIs))
		}},
		{"release for other bytes", OtherHandover, func(p *pair) ([]byte, error) {
			return p.b.do(opRelease, p.upTo('a').noteBy(p.a.site, kindRelease, func(n *note) { n.handover[0]++ }))
		}},
		{"release of an earlier move", NotReceived, func(p *pair) ([]byte, error) {
			p.upTo('e').back().upTo('h')
			return p.a.do(opRelease, p.release)
		}},
		{"release of a recorded move in a later one", NotReceived, func(p *pair) ([]byte, error) {
			p.upTo('e').back().upTo('e')
			release := p.release
			p.upTo('a')
			return p.b.do(opRelease, release)
		}},
		{"message of another version", WrongVersion, func(p *pair) ([]byte, error) {
			return p.a.do(opMove, changed(p.upTo('O').order, 1))
		}},
		{"message of another kind", WrongKind, func(p *pair) ([]byte, error) {
			return p.b.do(opReceive, p.upTo('O').order)
		}},
		{"message cut off", Malformed, func(p *pair) ([]byte, error) {
			p.upTo('h')
			return p.b.do(opReceive, p.handover[:len(p.handover)-1])
		}},
		{"source's old disk after it is gone", errOld, func(p *pair) ([]byte, error) {
			old := p.a.disk.state
			now := p.upTo('R').a.disk.state
			p.a.disk.state = old
			out, err := p.a.do(opRequest, nil)
			p.a.disk.state = now
			return out, err
		}},
		{"target's old disk after its receipt", errOld, func(p *pair) ([]byte, error) {
			old := p.upTo('O').b.disk.state
			p.handover = p.must(p.a.do(opMove, p.order))
			p.must(p.b.do(opReceive, p.handover))
			now := p.b.disk.state
			p.b.disk.state = old
			out, err := p.b.do(opRefuse, p.offer)
			p.b.disk.state = now
			return out, err
		}},
	}
}

// TestAttacks: each is refused with a reason of its own, and one vTPM is left.
func TestAttacks(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			p := newPair(t)
			answer, err := a.run(p)
			if answer != nil && err == nil {
				why, ok := Refused(answer)
				if !ok {
					t.Fatal("not refused")
				}
				err = why
			}
			if !errors.Is(err, a.want) {
				t.Fatalf("%v, want %v", err, a.want)
			}
			if n := p.finish(); n != 1 {
				t.Errorf("%d vTPMs are live in the end", n)
			}
		})
	}
}
