package transfer

import (
	"errors"
	"slices"
	"testing"
)

// A fault is put into a manager on purpose; the search has to find it.
type fault struct {
	name string

	anybody, noMessage, sameNumber bool // see site and draws

	early  byte    // kind of message that leaves before it is stored
	serves []Phase // phases in which the vTPM is served, besides Live

	// instead does what a manager does not; done is false if not this time.
	instead func(p *player, o op, message []byte) (out []byte, err error, done bool)

	// becomes is a step that a manager makes by itself, nil for none.
	becomes func(st *State) *State

	old bool // an old disk is taken
	top uint64
}

func serves(f *fault, p Phase) bool {
	return p == Live || f != nil && slices.Contains(f.serves, p)
}

// with is do, with a fault.
func (p *player) with(f *fault, o op, message []byte) ([]byte, error) {
	if f != nil && f.instead != nil {
		if out, err, done := f.instead(p, o, message); done {
			return out, err
		}
	}
	return p.do(o, message)
}

// faulty visits what a manager with a fault does by itself, and old disks.
func (s *search) faulty(w world, i int, visit visit) error {
	if s.fault == nil {
		return nil
	}
	l := s.locals[w.at[i]]
	if s.fault.becomes != nil {
		if st := s.fault.becomes(stateOf(l)); st != nil {
			l.disk = string(st.Append(nil))
			return s.goes(w, i, s.local(i, l), -1, act{what: "fault", manager: i}, visit)
		}
	}
	if !s.fault.old {
		return nil
	}
	for past, ok := s.trace[w]; ok; past, ok = s.trace[past.world] {
		l.disk, l.nonce = s.locals[past.at[i]].disk, Hash{}
		if err := s.goes(w, i, s.local(i, l), -1, act{what: "old disk", manager: i}, visit); err != nil {
			return err
		}
	}
	return nil
}

// from one phase to another, without a reason.
func turns(from, to Phase) func(*State) *State {
	return func(st *State) *State {
		if st.Phase != from {
			return nil
		}
		next := &State{Phase: to}
		if to == Gone || to == Live && from == Received {
			next.Last, next.Handover = st.Last, st.Handover
		}
		return next
	}
}

// loose has a manager store a phase for a note of some kind in a phase, whatever move the
// note is about.
func loose(o op, kind byte, in, to Phase) func(*player, op, []byte) ([]byte, error, bool) {
	return func(p *player, asked op, message []byte) ([]byte, error, bool) {
		st, err := p.disk.Load()
		if err != nil || asked != o || message[0] != kind || st.Phase != in {
			return nil, nil, false
		}
		n, err := parseNote(message, kind)
		if err != nil || n.evidence[0] != 1 {
			return nil, nil, false
		}
		return nil, p.disk.Store(turns(in, to)(st)), true
	}
}

var errSkip = errors.New("not this time")

// faults are all that the search is tried with.
func faults() []fault {
	return []fault{
		{name: "a time-out at the source takes the vTPM back", becomes: turns(Sent, Live)},
		{name: "a time-out at the source gives the vTPM up", becomes: turns(Sent, Gone)},
		{name: "a time-out at the target forgets the vTPM", becomes: turns(Received, None)},
		{name: "a time-out at the target starts the vTPM", becomes: turns(Received, Live)},
		{name: "the source forgets that the vTPM is gone", becomes: turns(Gone, None)},
		{name: "the source takes back what is gone", becomes: turns(Gone, Live)},
		{name: "an offer leaves before it is stored", early: kindOffer},
		{name: "a handover leaves before it is stored", early: kindHandover},
		{name: "a receipt leaves before it is stored", early: kindReceipt},
		{name: "a refusal leaves before it is stored", early: kindRefusal},
		{name: "a release leaves before it is stored", early: kindRelease},
		{name: "commits are taken from a vTPM that was sent", serves: []Phase{Sent}, top: 2},
		{name: "a vTPM is served before its release", serves: []Phase{Received}},
		{name: "a vTPM is served that is gone", serves: []Phase{Gone}},
		{name: "a move's number is used twice", sameNumber: true},
		{name: "old disks are taken", old: true},
		{name: "evidence of outside is taken", anybody: true},
		{name: "evidence is not bound to the message", noMessage: true},
		{name: "a receipt of another move is taken", instead: loose(opAnswer, kindReceipt, Sent, Gone)},
		{name: "a refusal of another move is taken", instead: loose(opAnswer, kindRefusal, Sent, Live)},
		{name: "a refusal is taken after the receipt", instead: loose(opAnswer, kindRefusal, Gone, Live)},
		{name: "a release of another move is taken", instead: loose(opRelease, kindRelease, Received, Live)},
		{name: "an old release brings a vTPM back", instead: loose(opRelease, kindRelease, Gone, Live)},
		{name: "an order needs no signature", instead: unsigned},
		{name: "a request's nonce is used twice", instead: nonceKept},
		{name: "the evidence of an offer is not looked at", instead: offerUnseen},
		{name: "the evidence of a handover is not looked at", instead: handoverUnseen},
		{name: "a vTPM is refused after its receipt", instead: refusedLate},
		{name: "an offer is made over a vTPM that was received", instead: offeredOver},
		{name: "an older record is handed over", instead: olderRecord, top: 2},
	}
}

func unsigned(p *player, o op, message []byte) ([]byte, error, bool) {
	if o != opMove {
		return nil, nil, false
	}
	m, _ := ParseOrder(message)
	out, err := p.do(o, sign(&m.Offer).Append(nil))
	return out, err, true
}

func nonceKept(p *player, o op, message []byte) ([]byte, error, bool) {
	if o != opMove {
		return nil, nil, false
	}
	nonce := p.source.nonce
	out, err := p.do(o, message)
	p.source.nonce = nonce
	return out, err, true
}

func offerUnseen(p *player, o op, message []byte) ([]byte, error, bool) {
	if o != opMove {
		return nil, nil, false
	}
	m, _ := ParseOrder(message)
	m.Evidence, _ = (&site{self: m.Target}).Attest(m.Offer.Hash(), m.SourceNonce)
	out, err := p.do(o, m.Append(nil))
	return out, err, true
}

func handoverUnseen(p *player, o op, message []byte) ([]byte, error, bool) {
	if o != opReceive {
		return nil, nil, false
	}
	h, _ := ParseHandover(message)
	h.Evidence, _ = (&site{self: h.Terms.Source}).Attest(h.Hash(), h.TargetNonce)
	out, err := p.do(o, h.Append(nil))
	return out, err, true
}

func refusedLate(p *player, o op, message []byte) ([]byte, error, bool) {
	st, err := p.disk.Load()
	if err != nil || o != opRefuse || st.Phase != Received {
		return nil, nil, false
	}
	out, err := p.target.attested(refusalOf(st.Last, Withdrawn), st.Last.SourceNonce)
	return out, err, true
}

func offeredOver(p *player, o op, message []byte) ([]byte, error, bool) {
	st, err := p.disk.Load()
	if err != nil || o != opOffer || st.Phase != Received {
		return nil, nil, false
	}
	q, _ := ParseRequest(message)
	if q.Source == p.target.Manager {
		return nil, errSkip, true
	}
	fresh, err := p.target.fresh(q)
	if err != nil {
		return nil, err, true
	}
	st = &State{Offer: fresh}
	if err := p.disk.Store(st); err != nil {
		return nil, err, true
	}
	out, err := p.target.offer(st)
	return out, err, true
}

func olderRecord(p *player, o op, message []byte) ([]byte, error, bool) {
	if o == opMove {
		p.house.sequence = 1
	}
	return nil, nil, false
}

// TestFaultsAreFound: the search finds each fault that is put in.
func TestFaultsAreFound(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			s := newSearch(&f)
			depth, _, err := s.run(bounds{60, [2]int32{5, 7}, max(f.top, 1)})
			var v violation
			if !errors.As(err, &v) {
				t.Fatalf("not found in %d worlds to depth %d: %v", len(s.seen), depth, err)
			}
			t.Logf("depth %d, %d worlds: %v", depth, len(s.seen), v)
		})
	}
}
