package tpmtest

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
)

// TestSpoiledResponse changes each byte of a response that a session vouches
// for, and takes each byte away: it is refused, or it is an error's.
func TestSpoiledResponse(t *testing.T) {
	t.Parallel()
	tpm := New(t)
	s := tpm.StartSession(SessionParams{Bind: tcg.TPMRHOwner})
	s.Attributes |= tcg.TPMASessionAudit
	spec := tcg.CommandByCode(tcg.TPMCCGetRandom)
	x := &exchange{spec: spec, auths: Auths{s}, params: []byte{0, 4}}
	good := tpm.Execute(0, x.command())
	old := *s
	for i := range good {
		for _, bad := range [][]byte{append(bytes.Clone(good[:i]), append([]byte{good[i] ^ 1}, good[i+1:]...)...), good[:i]} {
			*s = old
			if r, err := x.response(bad); err == nil && r.Code == tcg.TPMRCSuccess {
				t.Errorf("byte %d: %x is taken for %x", i, bad, good)
			}
		}
	}
	*s = old
	if _, err := x.response(good); err != nil {
		t.Errorf("the response as it came: %v", err)
	}
}
