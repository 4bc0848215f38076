package command

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/tcg"
)

// auditOf has the command audit attested without a signature.
func (x rawTPM) auditOf() tcg.TPMSAttest {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCGetCommandAuditDigest, handles(tcg.TPMRHEndorsement, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized([]byte("challenge"))
		w.Uint16(uint16(tcg.TPMAlgNull))
	})
	b := tcg.NewReader(r.Sized(1024), nil)
	var a tcg.TPMSAttest
	a.Unmarshal(&b)
	if rc := b.Err(); rc != tcg.TPMRCSuccess {
		x.t.Fatalf("attestation: %#x", uint32(rc))
	}
	return a
}

func TestCommandAudit(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	status := func(alg tcg.TPMAlgID, set, clear []tcg.TPMCC) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Uint16(uint16(alg))
			for _, l := range [][]tcg.TPMCC{set, clear} {
				w.Uint32(uint32(len(l)))
				for _, cc := range l {
					w.Uint32(uint32(cc))
				}
			}
		}
	}
	set := func(rc tcg.TPMRC, alg tcg.TPMAlgID, set, clear []tcg.TPMCC) {
		t.Helper()
		x.want(rc, tcg.TPMCCSetCommandCodeAuditStatus, handles(tcg.TPMRHOwner), status(alg, set, clear))
	}
	getRandom := []tcg.TPMCC{tcg.TPMCCGetRandom}
	set(tcg.TPMRCValue.P(1), tcg.TPMAlgSHA384, getRandom, nil)

	// The command that sets the status is itself audited. cpHash and rpHash
	// are computed here from what was sent.
	extend := func(old []byte, cc tcg.TPMCC, names, params, out []byte) []byte {
		cp := sha256.Sum256(bytes.Join([][]byte{binary.BigEndian.AppendUint32(nil, uint32(cc)), names, params}, nil))
		rp := sha256.Sum256(bytes.Join([][]byte{{0, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, uint32(cc)), out}, nil))
		sum := sha256.Sum256(bytes.Join([][]byte{old, cp[:], rp[:]}, nil))
		return sum[:]
	}
	set(tcg.TPMRCSuccess, tcg.TPMAlgNull, getRandom, nil)
	var w tcg.Writer
	status(tcg.TPMAlgNull, getRandom, nil)(&w)
	want := extend(make([]byte, 32), tcg.TPMCCSetCommandCodeAuditStatus, binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMRHOwner)), w.B, nil)
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCGetRandom, nil, func(w *tcg.Writer) { w.Uint16(4) })
	want = extend(want, tcg.TPMCCGetRandom, nil, []byte{0, 4}, bytes.Clone(r.Rest()))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCReadClock, nil, nil) // is not audited

	a := x.auditOf()
	if !bytes.Equal(a.CommandAudit.AuditDigest, want) {
		t.Fatalf("audit digest %x, not %x", a.CommandAudit.AuditDigest, want)
	}
	codes := sha256.Sum256(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMCCSetCommandCodeAuditStatus)), uint32(tcg.TPMCCGetRandom)))
	if !bytes.Equal(a.CommandAudit.CommandDigest, codes[:]) {
		t.Fatalf("command digest %x, not %x", a.CommandAudit.CommandDigest, codes)
	}
	if !bytes.Equal(a.ExtraData, []byte("challenge")) {
		t.Fatalf("extra data %q", a.ExtraData)
	}
	counter := a.CommandAudit.AuditCounter

	// A signature begins a new digest; without one it goes on.
	if a = x.auditOf(); !bytes.Equal(a.CommandAudit.AuditDigest, want) {
		t.Fatal("the digest was cleared without a signature")
	}
	key, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}, noSym)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCGetCommandAuditDigest, handles(tcg.TPMRHEndorsement, key), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Uint16(uint16(tcg.TPMAlgNull))
	})
	if a = x.auditOf(); len(a.CommandAudit.AuditDigest) != 0 {
		t.Fatalf("after a signature: %x", a.CommandAudit.AuditDigest)
	}

	// Another algorithm, with empty lists; the next audited command counts.
	set(tcg.TPMRCSuccess, tcg.TPMAlgSHA384, nil, nil)
	if a = x.auditOf(); len(a.CommandAudit.AuditDigest) != 0 {
		t.Fatalf("the change of the algorithm was audited: %x", a.CommandAudit.AuditDigest)
	}
	set(tcg.TPMRCSuccess, tcg.TPMAlgNull, nil, append(getRandom, tcg.TPMCCSetCommandCodeAuditStatus))
	a = x.auditOf()
	if a.CommandAudit.DigestAlg != tcg.TPMAlgSHA384 || len(a.CommandAudit.AuditDigest) != 48 || a.CommandAudit.AuditCounter <= counter {
		t.Fatalf("algorithm %#x, digest of %d bytes, counter %d after %d",
			a.CommandAudit.DigestAlg, len(a.CommandAudit.AuditDigest), a.CommandAudit.AuditCounter, counter)
	}
	if len(d.Perm.Audited) != 1 {
		t.Fatalf("audited: %v", d.Perm.Audited)
	}
}

// startSession starts an HMAC session that is neither salted nor bound.
func (x rawTPM) startSession() tcg.TPMHandle {
	x.t.Helper()
	rc, h, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(tcg.TPMSEHMAC))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("StartAuthSession: %#x", uint32(rc))
	}
	return h
}

func TestSessionAuditNeedsAudit(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	h := x.startSession()
	x.want(tcg.TPMRCType.H(3), tcg.TPMCCGetSessionAuditDigest, handles(tcg.TPMRHEndorsement, tcg.TPMRHNull, h), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Uint16(uint16(tcg.TPMAlgNull))
	})
}

// A session stays exclusive over commands that take no sessions, its own
// TPM2_ContextSave and TPM2_ContextLoad among them; a new session of its
// handle does not begin so.
func TestExclusiveSaved(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	h := x.startSession()
	d.Vol.Exclusive = h
	rc, _, saved := x.send(tcg.TPMCCContextSave, handles(h), nil)
	if rc != tcg.TPMRCSuccess {
		t.Fatalf("ContextSave: %#x", uint32(rc))
	}
	if rc, _, _ = x.send(tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(saved.Rest()) }); rc != tcg.TPMRCSuccess {
		t.Fatalf("ContextLoad: %#x", uint32(rc))
	}
	if d.Vol.Exclusive != h {
		t.Error("not exclusive after its context was saved and loaded")
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(h), nil)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
	if d.Vol.Exclusive != 0 || x.startSession() != h || d.Vol.Exclusive != 0 {
		t.Error("another session of its handle is exclusive")
	}
}
