package service

import (
	"testing"

	"stubtpm/vtpmmgr/proto"
)

// TestCommitLost: a state whose COMMIT never comes to the manager, however often it is
// repeated and while the manager answers whatever else it is asked, is not saved.
func TestCommitLost(t *testing.T) {
	t.Parallel()
	w := newSavedWorld(t, 4)
	working := w.h.manager.Transact
	for _, lost := range []int{1, commitTries - 1, commitTries, commitTries + 1} {
		left := lost
		w.h.manager.Transact = func(b []byte) ([]byte, error) {
			if _, ordinal, _, err := proto.Parse(b); err == nil && proto.Ordinal(ordinal) == proto.Commit && left > 0 {
				left--
				return nil, errLink
			}
			return working(b)
		}
		before := w.h.store.sequence
		err := w.h.device.Snapshot(func(state, _ []byte) error { return w.h.store.Save(state) })
		if (err == nil) != (lost < commitTries) {
			t.Errorf("%d requests lost: %v", lost, err)
		}
		w.h.manager.Transact = working
		grant, err := w.h.manager.Load()
		w.must(err)
		if saved := grant.State.Sequence == before+1; saved != (lost < commitTries) {
			t.Errorf("%d requests lost: saved %v", lost, saved)
		}
	}
}
