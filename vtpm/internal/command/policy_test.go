package command

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
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

// TestPolicyCodes: response codes of the policy commands that their text names
// (Part 3, 23.2.2, 23.3, 23.4, 23.6, 23.9, 23.15 and 23.16).
func TestPolicyCodes(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	s := x.session(tcg.TPMSEPolicy)

	// The nonce of another session, a signature of another message.
	secret := func(nonce []byte, cpHash int) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(nonce)
			w.Sized(make([]byte, cpHash))
			w.Sized(nil)
			w.Uint32(0)
		}
	}
	owner := handles(tcg.TPMRHOwner, s)
	x.want(tcg.TPMRCValue.P(1), tcg.TPMCCPolicySecret, owner, secret(make([]byte, 16), 0))
	x.want(tcg.TPMRCSize.P(2), tcg.TPMCCPolicySecret, owner, secret(nil, 31))
	key, _, name := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	x.want(tcg.TPMRCPolicyFail, tcg.TPMCCPolicySigned, handles(key, s), func(w *tcg.Writer) {
		secret(nil, 0)(w)
		sig := tcg.TPMTSignature{SigAlg: tcg.TPMAlgECDSA, Hash: tcg.TPMAlgSHA256, R: []byte{1}, S: []byte{1}}
		sig.Marshal(w)
	})

	authorize := func(approved []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(approved)
			w.Sized(nil)
			w.Sized(name)
			ticket := tcg.NullTicket(tcg.TPMSTVerified)
			ticket.Marshal(w)
		}
	}
	x.want(tcg.TPMRCValue.P(1), tcg.TPMCCPolicyAuthorize, handles(s), authorize(bytes.Repeat([]byte{1}, 32)))
	x.want(tcg.TPMRCPolicy, tcg.TPMCCPolicyAuthorize, handles(s), authorize(make([]byte, 32)))

	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCPolicyOR, handles(s), func(w *tcg.Writer) { w.Uint32(1); w.Sized(make([]byte, 32)) })
	x.want(tcg.TPMRCValue.P(1), tcg.TPMCCPolicyOR, handles(s), func(w *tcg.Writer) { w.Uint32(2); w.Sized([]byte{1}); w.Sized(nil) })

	const index = 0x01800001
	x.define(index, 4, 0)
	nv := func(size int, offset uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(make([]byte, size))
			w.Uint16(offset)
			w.Uint16(uint16(tcg.TPMEOUnsignedGE))
		}
	}
	nvIn := handles(tcg.TPMRHOwner, index, s)
	x.want(tcg.TPMRCNVUninitialized, tcg.TPMCCPolicyNV, nvIn, nv(4, 0))
	x.write(tcg.TPMRCSuccess, index, []byte("data"))
	x.want(tcg.TPMRCNVRange, tcg.TPMCCPolicyNV, nvIn, nv(4, 1))
	x.want(tcg.TPMRCValue.P(2), tcg.TPMCCPolicyNV, nvIn, nv(0, 5))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyNV, nvIn, nv(4, 0))

	duplication := func(w *tcg.Writer) { w.Sized(name); w.Sized(name); w.YesNo(false) }
	for cc, rc := range map[tcg.TPMCC]tcg.TPMRC{tcg.TPMCCUnseal: tcg.TPMRCPolicyCC, tcg.TPMCCDuplicate: tcg.TPMRCSuccess} {
		h, _ := x.policyFor(cc, false)
		x.want(rc, tcg.TPMCCPolicyDuplicationSelect, handles(h), duplication)
	}
}

// TestPolicyPCRTrial: a trial takes PCRs as they are stated, also such as this
// TPM has not (Part 3, 23.7.1).
func TestPolicyPCRTrial(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	s := x.session(tcg.TPMSETrial)
	sel := []byte{0, 0, 0, 1, 0, byte(tcg.TPMAlgSHA256), 4, 1, 0, 0, 1} // PCRs 0 and 24
	if tcg.PCRSelectMax < 4 {
		sel = []byte{0, 0, 0, 1, 0, byte(tcg.TPMAlgSHA256), 3, 1, 0, 0}
		d.Vol.PCRs.Allocate(nil) // none there
	}
	value := bytes.Repeat([]byte{7}, 32)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyPCR, handles(s), func(w *tcg.Writer) { w.Sized(value); w.Bytes(sel) })
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyGetDigest, handles(s), nil)
	want := tpmcrypto.Digest(tcg.TPMAlgSHA256, make([]byte, 32), binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMCCPolicyPCR)), sel, value)
	if got := r.Sized(64); !bytes.Equal(got, want) {
		t.Errorf("policy %x, not %x", got, want)
	}
}

// TestPolicyTime: how long an authorization holds (Part 3, 23.2.2 and 23.10).
func TestPolicyTime(t *testing.T) {
	t.Parallel()
	d, _, _, now := timedDevice(t)
	x := rawTPM{t, d}
	*now = 100 * time.Second
	s := x.session(tcg.TPMSEPolicy)
	nonce := bytes.Clone(d.Session(s).NonceTPM)
	secret := func(rc tcg.TPMRC, nonce []byte, seconds uint32) {
		t.Helper()
		x.want(rc, tcg.TPMCCPolicySecret, handles(tcg.TPMRHOwner, s), func(w *tcg.Writer) {
			w.Sized(nonce)
			w.Sized(nil)
			w.Sized(nil)
			w.Uint32(seconds)
		})
	}
	*now = 200 * time.Second
	// Without a nonce expiration is a value of Time, with one it counts from the
	// session's start.
	secret(tcg.TPMRCExpired.P(4), nil, 199)
	secret(tcg.TPMRCExpired.P(4), nonce, 99)
	secret(tcg.TPMRCSuccess, nil, 300)
	if got := d.Session(s).Policy.Timeout; got != 300_000 {
		t.Errorf("the session ends at %d", got)
	}
	secret(tcg.TPMRCSuccess, nonce, 150)
	if got := d.Session(s).Policy.Timeout; got != 250_000 {
		t.Errorf("the session ends at %d", got)
	}
	limit := func(rc tcg.TPMRC, seconds uint64, op tcg.TPMEO) {
		t.Helper()
		x.want(rc, tcg.TPMCCPolicyCounterTimer, handles(s), func(w *tcg.Writer) {
			w.Sized(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(seconds>>32)), uint32(seconds)))
			w.Uint16(0)
			w.Uint16(uint16(op))
		})
	}
	limit(tcg.TPMRCExpired.P(1), 99, tcg.TPMEOUnsignedLT)
	limit(tcg.TPMRCValue.P(1), 1<<31, tcg.TPMEOUnsignedLT)
	limit(tcg.TPMRCSuccess, 200_000, tcg.TPMEOUnsignedGE) // Time in ms, as ever
	limit(tcg.TPMRCPolicy, 200_001, tcg.TPMEOUnsignedGE)
	limit(tcg.TPMRCSuccess, 120, tcg.TPMEOUnsignedLT)
	if got := d.Session(s).Policy.Timeout; got != 220_000 {
		t.Errorf("the session ends at %d", got)
	}
	// A trial does no comparison at all.
	s = x.session(tcg.TPMSETrial)
	limit(tcg.TPMRCSuccess, 99, tcg.TPMEOUnsignedLT)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyCounterTimer, handles(s), func(w *tcg.Writer) {
		w.Sized(make([]byte, 8))
		w.Uint16(999)
		w.Uint16(0)
	})
}

// TestPolicySecretBySession: a policy that does not ask for the secret does not
// prove it (Part 3, 23.4.1).
func TestPolicySecretBySession(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	trial, code := x.session(tcg.TPMSETrial), func(h tcg.TPMHandle) {
		x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyCommandCode, handles(h), func(w *tcg.Writer) { w.Uint32(uint32(tcg.TPMCCPolicySecret)) })
	}
	code(trial)
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyGetDigest, handles(trial), nil)
	policy := bytes.Clone(r.Sized(64))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized(policy)
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	s, to := x.session(tcg.TPMSEPolicy), x.session(tcg.TPMSEPolicy)
	code(s)
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTSessions))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMCCPolicySecret))
	w.Uint32(uint32(tcg.TPMRHOwner))
	w.Uint32(uint32(to))
	w.Uint32(9)
	w.Uint32(uint32(s))
	w.Bytes(make([]byte, 5))
	w.Bytes(make([]byte, 2+2+2+4))
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	if rc := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:])); rc != tcg.TPMRCMode.S(1) {
		t.Errorf("TPM2_PolicySecret: %#x", uint32(rc))
	}
}

// TestPolicyCheckOrder: of several faults of a policy session the first in the
// order of Part 3, 5.6, item 8, is told.
func TestPolicyCheckOrder(t *testing.T) {
	t.Parallel()
	d, _, _, now := timedDevice(t)
	x := rawTPM{t, d}
	*now = 10 * time.Second
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32)) // that of a session to which nothing was added
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	s := x.session(tcg.TPMSEPolicy)
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTSessions))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMCCClockRateAdjust))
	w.Uint32(uint32(tcg.TPMRHOwner))
	w.Uint32(9)
	w.Uint32(uint32(s))
	w.Bytes([]byte{0, 0, byte(tcg.TPMASessionContinueSession), 0, 0})
	w.Uint8(0)
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	p := d.Session(s).Policy
	// Each fault goes away when its code was told.
	faults := []struct {
		set, mend func()
		want      tcg.TPMRC
	}{
		{func() { p.Timeout, p.Epoch = 1, d.Vol.Clock.Epoch }, func() { p.Timeout = 0 }, tcg.TPMRCExpired.S(1)},
		{func() { p.CPHash = make([]byte, 32) }, func() { p.CPHash = nil }, tcg.TPMRCPolicyFail.S(1)},
		{func() { p.CommandCode = tcg.TPMCCClear }, func() { p.CommandCode = 0 }, tcg.TPMRCPolicyCC.S(1)},
		{func() { p.Digest[0] = 1 }, func() { p.Digest[0] = 0 }, tcg.TPMRCPolicyFail.S(1)},
		{func() { p.PCRChecked, p.PCRCounter = true, d.Reset.PCRUpdateCounter+1 }, func() { p.PCRChecked = false }, tcg.TPMRCPCRChanged},
		{func() { p.Locality = 2 }, func() { p.Locality = 0 }, tcg.TPMRCLocality},
		{func() { p.PresenceNeeded = true }, func() { p.PresenceNeeded = false }, tcg.TPMRCPP.S(1)},
	}
	for _, c := range faults {
		c.set()
	}
	for _, c := range faults {
		if got := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:])); got != c.want {
			t.Errorf("%#x, not %#x", uint32(got), uint32(c.want))
		}
		c.mend()
	}
	if r := d.Execute(0, w.B); !ok(r) {
		t.Errorf("without a fault: %x", r)
	}
}
