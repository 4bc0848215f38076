package vtpmmgr

import (
	"testing"
	"time"
)

// TestCreationEnds: a creation that no domain used does not count for a later domain
// of the same number.
func TestCreationEnds(t *testing.T) {
	t.Parallel()
	var g guest
	if g.isCreated(0) {
		t.Error("dom0, which nobody announced")
	}
	g.created.domain, g.told = 7, time.Now().Add(time.Second-creationLife)
	if !g.isCreated(7) || g.isCreated(8) {
		t.Error("a creation does not count for its domain, or for another")
	}
	g.told = time.Now().Add(-creationLife)
	if g.isCreated(7) {
		t.Error("a creation counts forever")
	}
}
