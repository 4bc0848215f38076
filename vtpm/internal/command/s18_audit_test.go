package command_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// auditSession starts a session that audits, and uses it for a command.
func auditSession(tpm *tpmtest.TPM) *tpmtest.Session {
	s := tpm.StartSession(tpmtest.SessionParams{})
	s.Attributes |= tcg.TPMASessionAudit
	tpm.Do(tcg.TPMCCGetRandom, nil, auths{s}, 4)
	return s
}

// audited extends an audit digest by a command that succeeded: with cpHash and
// rpHash (Part 1, "Audit").
func audited(alg tcg.TPMAlgID, old []byte, cc tcg.TPMCC, names, params, out []byte) []byte {
	code := binary.BigEndian.AppendUint32(nil, uint32(cc))
	if len(old) == 0 {
		old = make([]byte, alg.DigestSize())
	}
	cp := sum(alg, bytes.Join([][]byte{code, names, params}, nil))
	rp := sum(alg, bytes.Join([][]byte{{0, 0, 0, 0}, code, out}, nil))
	return sum(alg, bytes.Join([][]byte{old, cp, rp}, nil))
}

// TestGetSessionAuditDigest: the digest is of the commands that the session
// audited, goes on after it was attested, and reports whether no other command came
// between (Part 3, 18.5).
func TestGetSessionAuditDigest(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	s := tpm.StartSession(tpmtest.SessionParams{})
	s.Attributes |= tcg.TPMASessionAudit
	var want []byte
	random := func() {
		r := tpm.Do(tcg.TPMCCGetRandom, nil, auths{s}, 4)
		want = audited(tcg.TPMAlgSHA256, want, tcg.TPMCCGetRandom, nil, []byte{0, 4}, r.Params)
	}
	check := func(exclusive bool) {
		t.Helper()
		a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCGetSessionAuditDigest, handles{endorsement, null, s.Handle}, nil, nil, nil))
		if !bytes.Equal(a.SessionAudit.SessionDigest, want) || a.SessionAudit.ExclusiveSession != exclusive {
			t.Errorf("digest %x, exclusive %v; not %x, %v", a.SessionAudit.SessionDigest, a.SessionAudit.ExclusiveSession, want, exclusive)
		}
	}
	random()
	check(true)
	check(false) // the command before was not audited
	random()
	check(false)
}

func TestGetSessionAuditDigestCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCGetSessionAuditDigest)
	attestRows(c)
	row := func(rc tcg.TPMRC, why string, admin, session tcg.TPMHandle) {
		t.Helper()
		c.row(rc, why, handles{admin, null, session}, nil, nil)
	}
	s := tpm.StartSession(tpmtest.SessionParams{})
	row(tcg.TPMRCType.H(3), "a session that did not audit", endorsement, s.Handle)
	s.Attributes |= tcg.TPMASessionAudit
	tpm.Want(tcg.TPMRCSize, tcg.TPMCCGetRandom, nil, auths{s}, tpmtest.Raw{0, 4, 0})
	row(tcg.TPMRCType.H(3), "a session whose only command failed", endorsement, s.Handle)
	row(tcg.TPMRCValue.H(3), "a policy session", endorsement, tpm.StartPolicy().Handle)
	row(tcg.TPMRCReferenceH2, "no such session", endorsement, 0x02000030)
	row(tcg.TPMRCValue.H(1), "by the owner", owner, s.Handle)
}

// commandAudit attests the command audit without a signature.
func commandAudit(tpm *tpmtest.TPM) tcg.TPMSCommandAuditInfo {
	a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCGetCommandAuditDigest, handles{endorsement, null}, nil, nil, nil))
	return a.CommandAudit
}

// TestGetCommandAuditDigest: the digest is of the commands that are audited, and
// begins again where it was signed (Part 3, 18.6 and 21.1).
func TestGetCommandAuditDigest(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(endorsement, tpmtest.ECC(sign), none)
	signed := func() tcg.TPMSCommandAuditInfo {
		a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCGetCommandAuditDigest, handles{endorsement, key.Handle}, nil, "data", ecdsa))
		return a.CommandAudit
	}
	tpm.Do(tcg.TPMCCSetCommandCodeAuditStatus, handles{owner}, nil, nil, codesList(tcg.TPMCCGetRandom), nil)
	first := signed() // and the digest is empty
	r := tpm.Do(tcg.TPMCCGetRandom, nil, nil, 4)
	tpm.Do(tcg.TPMCCReadClock, nil, nil) // is not audited
	tpm.Want(tcg.TPMRCSize, tcg.TPMCCGetRandom, nil, nil, tpmtest.Raw{0, 4, 0})
	want := audited(tcg.TPMAlgSHA256, nil, tcg.TPMCCGetRandom, nil, []byte{0, 4}, r.Params)
	for range 2 { // without a signature it goes on
		got := commandAudit(tpm)
		if !bytes.Equal(got.AuditDigest, want) || got.AuditCounter != first.AuditCounter+1 {
			t.Errorf("digest %x, counter %d after %d", got.AuditDigest, got.AuditCounter, first.AuditCounter)
		}
		listed := codesList(tcg.TPMCCSetCommandCodeAuditStatus, tcg.TPMCCGetRandom)
		if got.DigestAlg != tcg.TPMAlgSHA256 || !bytes.Equal(got.CommandDigest, hash(tcg.Marshal(listed)[4:])) {
			t.Errorf("algorithm %v, command digest %x", got.DigestAlg, got.CommandDigest)
		}
	}
	if got := signed(); !bytes.Equal(got.AuditDigest, want) {
		t.Errorf("signed digest %x, not %x", got.AuditDigest, want)
	}
	if got := commandAudit(tpm); len(got.AuditDigest) != 0 {
		t.Errorf("after a signature: %x", got.AuditDigest)
	}
}

// codesList is a TPML_CC.
func codesList(cc ...tcg.TPMCC) tcg.TPMLCC { return cc }

func TestGetCommandAuditDigestCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCGetCommandAuditDigest)
	attestRows(c)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner, null}, nil, nil)
}
