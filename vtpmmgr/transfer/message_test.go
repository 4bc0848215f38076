package transfer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestSizes: messages and fields have the sizes and places of docs/moves.md.
func TestSizes(t *testing.T) {
	p := newPair(t).upTo('R')
	h, err := ParseHandover(p.handover)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"request", len(p.request), 66},
		{"offer", len(p.offer), 162 + 2 + evidenceSize},
		{"order", len(p.order), 66 + 162 + 2 + evidenceSize},
		{"handover", len(p.handover), 2 + 162 + 64 + 2 + len(h.Sealed) + 2 + evidenceSize},
		{"receipt", len(p.answer), 131 + 2 + evidenceSize},
		{"release", len(p.release), 131 + 2 + evidenceSize},
		{"move in an offer", bytes.Index(p.offer, h.Move[:]), 50},
		{"key in an offer", bytes.Index(p.offer, h.Key[:]), 130},
		{"offer in an order", bytes.Index(p.order, p.offer), 66},
		{"terms in a handover", bytes.Index(p.handover, p.offer[:162]), 2},
		{"record", len(fullRecord().Append(nil)), 174 + 1 + 4 + 1 + 2 + 1 + 7 + 1 + 64 + 1 + 32 + 1 + 32 + 1 + 32 + 5},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
}

// TestLargest: the largest record fits into a handover, the largest messages into MaxMessage.
func TestLargest(t *testing.T) {
	r := fullRecord()
	r.Group, r.Name, r.Profile = strings.Repeat("g", maxName), strings.Repeat("n", maxName), strings.Repeat("p", maxProfile)
	r.Programs = make([]Hash, maxPrograms)
	r.Rules = Rules{Managers: make([]ID, MaxRules), Images: make([]Hash, MaxRules), Places: make([]Hash, MaxRules)}
	b := r.Append(nil)
	if _, err := ParseRecord(b); err != nil || len(b) != 1466 {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	public, err := publicOf(bytes.Repeat([]byte{1}, keySize))
	if err != nil {
		t.Fatal(err)
	}
	h := &Handover{Terms: Terms{Key: public}, Evidence: make([]byte, MaxEvidence)}
	if h.Sealed, err = seal(public, h.context(), b); err != nil || len(h.Sealed) > maxSealed {
		t.Fatalf("%d bytes: %v", len(h.Sealed), err)
	}
	h.Sealed = make([]byte, maxSealed)
	m := h.Append(nil)
	if _, err := ParseHandover(m); err != nil || len(m) != MaxMessage {
		t.Errorf("handover of %d bytes: %v", len(m), err)
	}
	for _, change := range []func(r *Record){
		func(r *Record) { r.Group = "" },
		func(r *Record) { r.Name += "n" },
		func(r *Record) { r.Programs = append(r.Programs, Hash{}) },
		func(r *Record) { r.Rules.Places = append(r.Rules.Places, Hash{}) },
		func(r *Record) { r.Sequence = 0 },
	} {
		wrong := *r
		change(&wrong)
		if wrong.check() == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

// TestRules: each rule of the owner allows and refuses.
func TestRules(t *testing.T) {
	c := &Claims{Manager: managers[1], Image: Hash{1}, SecurityVersion: 3, Place: Hash{2}}
	for _, r := range []struct {
		name  string
		rules Rules
		ok    bool
	}{
		{"no rules", Rules{}, true},
		{"manager", Rules{Managers: []ID{managers[0], managers[1]}}, true},
		{"another manager", Rules{Managers: []ID{managers[0]}}, false},
		{"image", Rules{Images: []Hash{{1}}}, true},
		{"another image", Rules{Images: []Hash{{2}}}, false},
		{"place", Rules{Places: []Hash{{2}}}, true},
		{"another place", Rules{Places: []Hash{{1}}}, false},
		{"security version", Rules{SecurityVersion: 3}, true},
		{"newer security version", Rules{SecurityVersion: 4}, false},
		{"labels", Rules{Labels: true}, false},
		{"all but one", Rules{Managers: managers[:], Images: []Hash{{1}}, Places: []Hash{{2}}, SecurityVersion: 4}, false},
	} {
		if err := r.rules.Allow(c); (err == nil) != r.ok || err != nil && !errors.Is(err, NotAllowed) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	c.Labels = true
	if err := (&Rules{Labels: true}).Allow(c); err != nil {
		t.Error(err)
	}
}

// TestReasons: each reason has words of its own.
func TestReasons(t *testing.T) {
	seen := map[string]Reason{}
	for r := Malformed; r < reasonsEnd; r++ {
		if other, ok := seen[r.Error()]; ok || strings.Contains(r.Error(), "reason") {
			t.Errorf("%d and %d: %v", r, other, r)
		}
		seen[r.Error()] = r
	}
}

// TestWholeMove: a move there and back, each message sent twice, gives the same bytes each
// time and the record as it was.
func TestWholeMove(t *testing.T) {
	p := newPair(t).upTo('R')
	for _, c := range []struct {
		who  *player
		o    op
		in   []byte
		want []byte
	}{
		{p.b, opReceive, p.handover, p.answer},
		{p.b, opAgainTarget, nil, p.answer},
		{p.a, opAnswer, p.answer, p.release},
		{p.a, opAgainSource, nil, p.release},
	} {
		if out, err := c.who.do(c.o, c.in); err != nil || !bytes.Equal(out, c.want) {
			t.Errorf("op %d again: %v, other bytes: %v", c.o, err, !bytes.Equal(out, c.want))
		}
	}
	st, err := p.b.disk.Load()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := p.a.house.Record()
	if !bytes.Equal(st.Record.Append(nil), want.Append(nil)) {
		t.Errorf("record %+v, want %+v", st.Record, want)
	}
	for range 2 {
		p.must(p.b.do(opRelease, p.release))
	}
	if out, err := p.b.do(opReceive, p.handover); err != nil || !bytes.Equal(out, p.answer) {
		t.Errorf("handover after the release: %v", err)
	}
	if _, err := p.b.do(opRefuse, p.offer); !errors.Is(err, ReceiptGiven) {
		t.Errorf("refused after the release: %v", err)
	}
	if q := p.back().upTo('e'); q.b.phase(t) != Live || q.a.phase(t) != Gone {
		t.Errorf("back: %v and %v", q.b.phase(t), q.a.phase(t))
	}
}

// TestEnrolledMeanwhile: a vTPM that the administrator has enrolled at the target, after the
// offer, is not replaced by the one that comes.
func TestEnrolledMeanwhile(t *testing.T) {
	p := newPair(t).upTo('h')
	st, err := p.b.disk.Load()
	if err != nil {
		t.Fatal(err)
	}
	st.Phase = Live
	if err := p.b.disk.Store(st); err != nil {
		t.Fatal(err)
	}
	refusal := p.must(p.b.do(opReceive, p.handover))
	if why, _ := Refused(refusal); why != LiveHere {
		t.Errorf("refused with %v", why)
	}
	p.must(p.a.do(opAnswer, refusal))
	if p.a.phase(t) != Live || p.b.phase(t) != Live {
		t.Errorf("source %v, target %v", p.a.phase(t), p.b.phase(t))
	}
}

// BenchmarkMove is a whole move, without the hardware TPM and the disk.
func BenchmarkMove(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newPair(&testing.T{}).upTo('e')
	}
}

// TestRestoreAtSource: a vTPM that was restored from a backup at the source is not released
// to a target that has received it.
func TestRestoreAtSource(t *testing.T) {
	p := newPair(t).upTo('a')
	if err := p.a.disk.Store(&State{Phase: Live}); err != nil {
		t.Fatal(err)
	}
	if out, err := p.a.do(opAnswer, p.answer); !errors.Is(err, NotSent) || out != nil {
		t.Errorf("receipt after the restore: %v", err)
	}
	if out, err := p.a.do(opMove, p.order); !errors.Is(err, NonceUsed) || out != nil {
		t.Errorf("order after the restore: %v", err)
	}
	if n := p.finish(); n != 1 || p.b.phase(t) != Received {
		t.Errorf("%d live, target %v", n, p.b.phase(t))
	}
}
