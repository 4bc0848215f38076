package command_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// extended is what a PCR of the SHA-256 bank is after it was extended.
func extended(old string, digest []byte) string {
	b, err := hex.DecodeString(old)
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(hash(b, digest))
}

// checkEvent takes a TPML_DIGEST_VALUES that has the digest of an event for each
// bank.
func checkEvent(t *testing.T, r *tpmtest.Response, event string) {
	t.Helper()
	n := r.Uint32()
	if n == 0 {
		t.Error("no digests")
	}
	for range n {
		alg := tcg.TPMAlgID(r.Uint16())
		want := sum(alg, []byte(event))
		if got := r.Bytes(len(want)); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, not %x", alg, got, want)
		}
	}
	if r.Len() != 0 {
		t.Errorf("%d bytes after the digests", r.Len())
	}
}
