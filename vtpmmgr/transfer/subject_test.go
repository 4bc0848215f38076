package transfer

import (
	"bytes"
	"testing"
)

// TestSubjectOf: each message of a move says what it is about.
func TestSubjectOf(t *testing.T) {
	p := newPair(t).upTo('e')
	for kind, b := range map[Kind][]byte{KindRequest: p.request, KindOffer: p.offer, KindOrder: p.order, KindHandover: p.handover, KindReceipt: p.answer, KindRelease: p.release} {
		s, err := SubjectOf(b)
		if err != nil || s.Kind != kind || s.VTPM != theVTPM || s.Source != managers[0] || kind != KindRequest && s.Target != managers[1] {
			t.Errorf("%v: %+v, %v", kind, s, err)
		}
		if _, err := SubjectOf(b[:len(b)-1]); err == nil {
			t.Errorf("%v, cut off", kind)
		}
	}
	for _, b := range [][]byte{nil, {0}, {8, 1}, {255, 1, 2}} {
		if s, err := SubjectOf(b); err == nil {
			t.Errorf("%x: %+v", b, s)
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add(fullRecord().Rules.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRules(b); err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("%x does not come back", b)
		}
	})
}
