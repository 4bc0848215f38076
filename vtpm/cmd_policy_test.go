package vtpm

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
)

// session starts a policy or trial session.
func (x rawTPM) session(kind tcg.TPMSE) tcg.TPMHandle {
	x.t.Helper()
	rc, h, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(kind))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("TPM2_StartAuthSession: %#x", uint32(rc))
	}
	return h
}

// TestPolicyHashes: of the commands that restrict a session by a hash one may
// be used (Part 3, 23.13, 23.14, 23.15, 23.21 and 23.24).
func TestPolicyHashes(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	hash := func(b byte, n int) func(w *tcg.Writer) {
		return func(w *tcg.Writer) { w.Sized(bytes.Repeat([]byte{b}, n)) }
	}
	names := func(w *tcg.Writer) {
		w.Sized(append([]byte{0, byte(tcg.TPMAlgSHA256)}, make([]byte, 32)...))
		w.Sized(append([]byte{0, byte(tcg.TPMAlgSHA256)}, make([]byte, 32)...))
		w.YesNo(true)
	}
	codes := []tcg.TPMCC{tcg.TPMCCPolicyCpHash, tcg.TPMCCPolicyNameHash, tcg.TPMCCPolicyTemplate, tcg.TPMCCPolicyParameters}
	for _, first := range codes {
		for _, second := range codes {
			s := x.session(tcg.TPMSEPolicy)
			x.want(tcg.TPMRCSize.P(1), first, handles(s), hash(1, 31))
			x.want(tcg.TPMRCSuccess, first, handles(s), hash(1, 32))
			same, other := tcg.TPMRCCPHash, tcg.TPMRCCPHash
			if first == second && first == tcg.TPMCCPolicyTemplate {
				other = tcg.TPMRCValue.P(1)
			}
			if first == second && (first == tcg.TPMCCPolicyTemplate || first == tcg.TPMCCPolicyCpHash) {
				same = tcg.TPMRCSuccess
			}
			x.want(other, second, handles(s), hash(2, 32))
			x.want(same, second, handles(s), hash(1, 32))
			x.want(tcg.TPMRCCPHash, tcg.TPMCCPolicyDuplicationSelect, handles(s), names)
			x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(s)) })
		}
	}
	s := x.session(tcg.TPMSEPolicy)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyDuplicationSelect, handles(s), names)
	for _, code := range codes {
		x.want(tcg.TPMRCCPHash, code, handles(s), hash(1, 32))
	}
}
