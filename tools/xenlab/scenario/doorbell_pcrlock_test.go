package scenario

import (
	"slices"
	"testing"
)

// TestParsePredicted reads a shortened output of systemd-pcrlock 257.
func TestParsePredicted(t *testing.T) {
	t.Parallel()
	got, err := parsePredicted(`{"sha1":[{"pcr":9,"values":["17","34"]}],"sha256":[{"pcr":0,"values":["cc"]},{"pcr":9,"values":["bb","aa"]}]}`)
	if err != nil || len(got) != 3 || !slices.Equal(got["sha256:9"], []string{"aa", "bb"}) || !slices.Equal(got["sha1:9"], []string{"17", "34"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "Failed to open TPM2 event log", `["sha1"]`} {
		if got, err := parsePredicted(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
