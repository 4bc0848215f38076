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

// TestPINTicket: TPM2_PolicySecret gives no ticket for a PIN Pass index (Part 1,
// 34.2.8.3), and does for others.
func TestPINTicket(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	ticket := func(h tcg.TPMHandle) int {
		s := x.session(tcg.TPMSEPolicy)
		r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicySecret, handles(h, s), func(w *tcg.Writer) {
			w.Sized(nil)
			w.Sized(nil)
			w.Sized(nil)
			w.Uint32(0xFFFFFF00) // 256 seconds, with a ticket
		})
		n := len(r.Sized(8))
		if tag := tcg.TPMST(r.Uint16()); tag != tcg.TPMSTAuthSecret {
			t.Errorf("%#x: ticket of tag %#x", uint32(h), uint16(tag))
		}
		r.Uint32()
		return n + len(r.Sized(64))
	}
	const pass, fail = 0x01800001, 0x01800002
	for h, kind := range map[tcg.TPMHandle]tcg.TPMANV{
		pass: tcg.TPMANV(tcg.TPMNTPinPass) << 4, fail: tcg.TPMANV(tcg.TPMNTPinFail) << 4,
	} {
		x.define(h, 8, kind|tcg.TPMANVAuthRead)
		x.write(tcg.TPMRCSuccess, h, []byte{0, 0, 0, 0, 0, 0, 0, 5})
		rc, _, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, h), func(w *tcg.Writer) {
			w.Sized(make([]byte, 16))
			w.Sized(nil)
			w.Uint8(uint8(tcg.TPMSEHMAC))
			w.Uint16(uint16(tcg.TPMAlgNull))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		})
		if rc != tcg.TPMRCHandle.H(2) {
			t.Errorf("a session bound to a PIN index: %#x", uint32(rc))
		}
	}
	if n := ticket(pass); n != 0 {
		t.Errorf("a PIN Pass index gives a ticket, %d bytes with its timeout", n)
	}
	if got := x.read(tcg.TPMRCSuccess, pass, 8); got[3] != 1 {
		t.Errorf("pinCount and pinLimit are %x", got)
	}
	for _, h := range []tcg.TPMHandle{fail, tcg.TPMRHOwner} {
		if ticket(h) == 0 {
			t.Errorf("%#x: no ticket", uint32(h))
		}
	}
}
