package command

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// external loads an object by TPM2_LoadExternal, into the null hierarchy.
func (x rawTPM) external(rc tcg.TPMRC, p tcg.TPMTPublic, s *tcg.TPMTSensitive, h tcg.TPMHandle) tcg.TPMHandle {
	x.t.Helper()
	got, o, _ := x.send(tcg.TPMCCLoadExternal, nil, func(w *tcg.Writer) {
		if s == nil {
			w.Sized(nil)
		} else {
			s.Marshal2B(w)
		}
		p.Marshal2B(w)
		w.Uint32(uint32(h))
	})
	if got != rc {
		x.t.Fatalf("LoadExternal: %#x, not %#x", uint32(got), uint32(rc))
	}
	return o
}

// p256 is a key pair of P-256, its public area without a Name.
func p256(t testing.TB, attributes tcg.TPMAObject, sym tcg.TPMTSymDefObject) (tcg.TPMTPublic, *tcg.TPMTSensitive) {
	t.Helper()
	k, err := tpmcrypto.NewECCKey(bytes.NewReader(bytes.Repeat([]byte{0x5A}, 100)), tcg.TPMECCNistP256)
	if err != nil {
		t.Fatal(err)
	}
	p := tcg.TPMTPublic{Type: tcg.TPMAlgECC, NameAlg: tcg.TPMAlgNull, ObjectAttributes: attributes | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA}
	p.ECC.Symmetric, p.ECC.Scheme, p.ECC.CurveID = sym, noScheme, tcg.TPMECCNistP256
	p.ECC.KDF.Scheme = tcg.TPMAlgNull
	p.UniqueECC = object.ECCPoint(k.Q)
	return p, &tcg.TPMTSensitive{SensitiveType: tcg.TPMAlgECC, Sensitive: k.Scalar()}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNamelessNotPersistent: an object without a Name does not become
// persistent, and a state that has one all the same loads.
func TestNamelessNotPersistent(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := testDevice(t, s)
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	load := unhex(t, "80010000006800000167000000560023001000040040000000100010000300100020e53dab8d3b4ef778a50cabf2fd52e0bd141c4455f1edcdce738ee4b3bddfb71d00203242118f29bec4432d4206e1382f14f439fb63754a121d125615196f665a406d40000001")
	evict := unhex(t, "8002000000230000012040000001800000000000000940000009000000000081000001")
	if r := d.Execute(0, load); !ok(r) {
		t.Fatalf("LoadExternal: %x", r)
	}
	if rc := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, evict)[6:])); rc != tcg.TPMRCAttributes.H(2) {
		t.Errorf("EvictControl: %#x", uint32(rc))
	}

	// An earlier version let it become persistent.
	o := d.Object(0x80000000).Clone()
	o.EvictHandle = 0x81000001
	d.Perm.Objects[o.EvictHandle] = o
	d.Dirty = true
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	d, err := Load(d.Cfg, s.state)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	x.d = d
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCReadPublic, handles(0x81000001), nil)
	r.Sized(1000)
	if name := r.Sized(1000); len(name) != 0 {
		t.Errorf("Name %x", name)
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCEvictControl, handles(tcg.TPMRHOwner, 0x81000001), func(w *tcg.Writer) { w.Uint32(0x81000001) })
}

// TestNamelessIsKept: what can be loaded is resumed, and loaded from its
// context.
func TestNamelessIsKept(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := testDevice(t, s)
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	p, private := p256(t, tcg.TPMAObjectSignEncrypt, noSym)
	h := x.external(tcg.TPMRCSuccess, p, nil, tcg.TPMRHNull)
	h2 := x.external(tcg.TPMRCSuccess, p, private, tcg.TPMRHNull)
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	if x.d, err = Resume(d.Cfg, s.state, v); err != nil {
		t.Fatal(err)
	}
	for _, h := range handles(h, h2) {
		r := x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(h), nil)
		context := bytes.Clone(r.Rest())
		x.want(tcg.TPMRCSuccess, tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(context) })
	}
}

// TestNamelessCommands: what needs a Name refuses what has none, and no command
// ends in failure mode.
func TestNamelessCommands(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	data := unhex(t, "80010000002c00000167000c000800000000000464617461000e000800100000004000000010000040000007")
	if r := d.Execute(0, data); !ok(r) {
		t.Fatalf("LoadExternal of a data object: %x", r)
	}
	x.flush(0x80000000)

	const storage = tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt
	p, _ := p256(t, storage, noSym)
	x.external(tcg.TPMRCSymmetric.P(2), p, nil, tcg.TPMRHNull)
	p, _ = p256(t, tcg.TPMAObjectRestricted, noSym)
	x.external(tcg.TPMRCAttributes.P(2), p, nil, tcg.TPMRHNull)
	p, _ = p256(t, storage, aes128CFB)
	p.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDH, HashAlg: tcg.TPMAlgSHA256}
	x.external(tcg.TPMRCScheme.P(2), p, nil, tcg.TPMRHNull)

	p, _ = p256(t, storage, aes128CFB)
	parent := x.external(tcg.TPMRCSuccess, p, nil, tcg.TPMRHNull)
	x.want(tcg.TPMRCType.H(1), tcg.TPMCCMakeCredential, handles(parent), func(w *tcg.Writer) { w.Sized([]byte{1}); w.Sized(make([]byte, 34)) })
	x.want(tcg.TPMRCType.H(2), tcg.TPMCCRewrap, handles(tcg.TPMRHNull, parent), func(w *tcg.Writer) {
		w.Sized([]byte{1})
		w.Sized(make([]byte, 34))
		w.Sized(nil)
	})
	x.flush(parent)

	p, private := p256(t, tcg.TPMAObjectSignEncrypt, noSym)
	key := x.external(tcg.TPMRCSuccess, p, private, tcg.TPMRHNull)
	scheme := func(w *tcg.Writer) {
		w.Sized([]byte("data"))
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCQuote, handles(key), func(w *tcg.Writer) { scheme(w); w.Uint32(0) })
	x.want(tcg.TPMRCSuccess, tcg.TPMCCCertify, handles(key, key), scheme)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCGetTime, handles(tcg.TPMRHEndorsement, key), scheme)

	srk, _, name := x.eccKey(storage|tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent, noScheme, aes128CFB)
	x.want(tcg.TPMRCType.H(2), tcg.TPMCCObjectChangeAuth, handles(key, srk), func(w *tcg.Writer) { w.Sized(nil) })
	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCObjectChangeAuth, handles(key, srk), func(w *tcg.Writer) { w.Sized([]byte("auth")) })

	// What is said to be the digest of creation data begins with a Name.
	creation := []byte("a digest of creation")
	x.want(tcg.TPMRCTicket.P(4), tcg.TPMCCCertifyCreation, handles(key, key), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Sized(append(bytes.Clone(name[:22]), creation...))
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
		t := tcg.TPMTTk{Tag: tcg.TPMSTCreation, Hierarchy: tcg.TPMRHOwner, Digest: creationTicket(d, tcg.TPMRHOwner, name[:22], creation)}
		t.Marshal(w)
	})
	x.flush(key)

	p, private = p256(t, tcg.TPMAObjectDecrypt, noSym)
	key = x.external(tcg.TPMRCSuccess, p, private, tcg.TPMRHNull)
	x.want(tcg.TPMRCKey.H(1), tcg.TPMCCStartAuthSession, handles(key, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Nested(p.UniqueECC.Marshal)
		w.Uint8(uint8(tcg.TPMSEHMAC))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if d.Vol.Failed {
		t.Error("failure mode")
	}
}

// TestUnreadableState: a state that would not load is not saved, and the TPM
// goes on as it was.
func TestUnreadableState(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := testDevice(t, s)
	d.Execute(0, startupClear)
	saved, was := s.saves, d.EncodePermanent().B
	d.Mark()
	d.Perm.NV.Indices[0x01800001] = &nv.Index{Public: tcg.TPMSNVPublic{NVIndex: 0x01800001, DataSize: 8}} // without a nameAlg, without its data
	d.Dirty = true
	if err := d.Save(); !errors.Is(err, engine.ErrStateShort) {
		t.Errorf("save: %v", err)
	}
	if s.saves != saved || !bytes.Equal(d.EncodePermanent().B, was) {
		t.Errorf("%d saves, and the state is\n%x\nnot\n%x", s.saves-saved, d.EncodePermanent().B, was)
	}
	if r := d.Execute(0, command(tcg.TPMCCChangeEPS, 1, nil, nil, tcg.TPMRHPlatform)); !ok(r) || s.saves != saved+1 {
		t.Errorf("the next command: %x", r)
	}

	// Memory that is damaged ends in failure mode.
	d.Saved = d.Saved[:len(d.Saved)-1]
	s.fail = errDisk
	if r := d.Execute(0, command(tcg.TPMCCChangeEPS, 1, nil, nil, tcg.TPMRHPlatform)); ok(r) {
		t.Errorf("a failed save: %x", r)
	}
	if !d.Vol.Failed {
		t.Error("no failure mode")
	}
}

// TestResumeWithoutSave: a volatile state belongs to what the store has, also
// when the device was loaded with more than that and saved nothing since.
func TestResumeWithoutSave(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := testDevice(t, s)
	d.Execute(0, startupClear)
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	cfg := d.Cfg
	cfg.Floors, cfg.Epoch = engine.Floors{ResetCount: 1000, FailedTries: 2}, &engine.Epoch{Ledger: 1, Restores: 2}
	for range 2 {
		if d, err = Resume(cfg, s.state, v); err != nil {
			t.Fatal(err)
		}
		if v, err = d.Volatile(); err != nil {
			t.Fatal(err)
		}
	}
	d.Vol.Sessions[1] = &session.Session{Handle: 0x02000001} // without a hash: not one that was started
	if v, err := d.Volatile(); err == nil {
		t.Errorf("%d bytes that do not resume are given out", len(v))
	}
	if d.Vol.Failed {
		t.Error("failure mode")
	}
}
