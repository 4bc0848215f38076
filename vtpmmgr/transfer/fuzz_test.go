package transfer

import (
	"bytes"
	"errors"
	"testing"
)

// roundTrip: what a parser takes, Append writes back identically; what it does not take is
// a Reason.
func roundTrip[T any](t *testing.T, b []byte, parse func([]byte) (T, error), write func(T, []byte) []byte) {
	v, err := parse(b)
	if err != nil {
		var r Reason
		if !errors.As(err, &r) {
			t.Errorf("%v is not a Reason", err)
		}
		return
	}
	if got := write(v, nil); !bytes.Equal(got, b) {
		t.Errorf("%x is written back as %x", b, got)
	}
}

// elsewhere is a pair whose random numbers are not those of newPair.
func elsewhere() *pair {
	p := newPair(&testing.T{})
	p.a.draws, p.b.draws = 100, 100
	return p
}

// seeds are the messages of a move, with refusal, and what each leaves on disk.
func seeds(f *testing.F) (messages, states [][]byte) {
	f.Helper()
	p := elsewhere().upTo('h')
	states = append(states, []byte(p.a.disk.state), []byte(p.b.disk.state))
	refusal, err := p.b.do(opRefuse, p.offer)
	if err != nil {
		f.Fatal(err)
	}
	states = append(states, []byte(p.b.disk.state))
	p = elsewhere().upTo('R')
	states = append(states, []byte(p.a.disk.state), []byte(p.b.disk.state))
	return [][]byte{p.request, p.offer, p.order, p.handover, p.answer, p.release, refusal}, states
}

func FuzzMessages(f *testing.F) {
	messages, _ := seeds(f)
	for _, m := range messages {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, ParseRequest, (*Request).Append)
		roundTrip(t, b, ParseOffer, (*Offer).Append)
		roundTrip(t, b, ParseOrder, (*Order).Append)
		roundTrip(t, b, ParseHandover, (*Handover).Append)
		parse := func(b []byte) (*note, error) { return parseNote(b, kindReceipt, kindRefusal, kindRelease) }
		roundTrip(t, b, parse, (*note).append)
	})
}

func fullRecord() *Record {
	return &Record{VTPM: theVTPM, Sequence: 7, Epoch: 1, Flags: 7, Group: "mail", Name: "mx", Profile: "default",
		Programs: []Hash{{1}, {2}},
		Rules:    Rules{Managers: managers[:], Images: []Hash{{3}}, Places: []Hash{{4}}, SecurityVersion: 5, Labels: true}}
}

func FuzzRecord(f *testing.F) {
	f.Add(fullRecord().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseRecord, (*Record).Append) })
}

func FuzzState(f *testing.F) {
	_, states := seeds(f)
	for _, s := range states {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseState, (*State).Append) })
}

// FuzzManagers: no bytes have a manager do more than what it was asked in a move before.
func FuzzManagers(f *testing.F) {
	messages, _ := seeds(f)
	for _, m := range messages {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPair(t).upTo('h')
		for o := opOffer; o <= opRefuse; o++ {
			for _, m := range []*player{p.a, p.b} {
				m.do(o, b)
			}
		}
		if p.a.phase(t) == Gone && p.b.phase(t) != Received || p.finish() != 1 {
			t.Errorf("%x: source %v, target %v", b, p.a.phase(t), p.b.phase(t))
		}
	})
}
