package vtpmmgr

import (
	"errors"
	"testing"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// TestTransferIsOpen: the same request has the same offer for as long as that is open, and no
// other answer says so: a courier writes the vTPM's disk by it.
func TestTransferIsOpen(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	for _, s := range w.steps() {
		w.must(s.do())
		got, err := w.b.give(w.u, w.request)
		switch {
		case s.name == 'r':
			w.offer = got
		case s.name == 'o', s.name == 'O', s.name == 'h':
			if err != nil || !sameTerms(t, got, w.offer) {
				t.Errorf("step %c: %v", s.name, err)
			}
		case reasonOf(err) != transfer.BeingReceived && reasonOf(err) != transfer.LiveHere:
			t.Errorf("step %c: %v", s.name, err)
		case !errors.Is(err, proto.MoveRefused):
			t.Errorf("step %c is no refusal: %v", s.name, err)
		}
	}
}
