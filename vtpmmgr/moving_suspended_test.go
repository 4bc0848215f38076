package vtpmmgr

import (
	"errors"
	"testing"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// TestTransferSuspended: what was suspended at the manager that a vTPM comes back to does not run
// there, whoever suspended it: the vTPM stays where it is until it is resumed.
func TestTransferSuspended(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	w.upTo('e')
	w.must(w.a.as(testAdmin).Suspend(w.u))
	w.must(w.a.restart())
	back := w.back()
	back.freeze(w.b, w.u, w.last+2)
	back.upTo('a')
	if why, refused := transfer.Refused(back.answer); !refused || why != transfer.NotTaken {
		_, err := back.a.give(w.u, back.answer)
		w.must(err)
		t.Errorf("taken: %v", why)
	}
	_, err := back.a.give(w.u, back.answer)
	w.must(err)
	if _, err := w.b.loads(w.u); err != nil {
		t.Errorf("where it stays: %v", err)
	}
	// The approver does not resume what the administrator suspended.
	if err := w.a.as(testApprover).Resume(w.u); !errors.Is(err, proto.Unsigned) {
		t.Errorf("resumed by the approver: %v", err)
	}
	w.must(w.a.as(testAdmin).Resume(w.u))
	back.freeze(w.b, w.u, w.last+4)
	back.upTo('e')
	if _, err := w.a.loads(w.u); err != nil {
		t.Errorf("resumed: %v", err)
	}
}
