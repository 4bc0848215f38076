package command

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

func (x rawTPM) save(h tcg.TPMHandle) []byte {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(h), nil)
	return bytes.Clone(r.Rest())
}

// TestPaddedContext: an object's context is loaded from a buffer of exactly the
// size that TPM_PT_MAX_OBJECT_CONTEXT says, if the rest of it is zero.
func TestPaddedContext(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	_, _, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapTPMProperties, uint32(tcg.TPMPTMaxObjectContext), 1)
	if r.Uint32() != uint32(tcg.TPMPTMaxObjectContext) {
		t.Fatal("no TPM_PT_MAX_OBJECT_CONTEXT")
	}
	size := int(r.Uint32())
	h, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	context := x.save(h)
	load := func(rc tcg.TPMRC, b []byte) {
		t.Helper()
		got, h, _ := x.send(tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(b) })
		if got != rc {
			t.Errorf("%d bytes, %d of them the context: %#x, not %#x", len(b), len(context), uint32(got), uint32(rc))
		}
		if got == tcg.TPMRCSuccess {
			x.flush(h)
		}
	}
	to := func(n int) []byte { return append(bytes.Clone(context), make([]byte, n-len(context))...) }
	load(tcg.TPMRCSuccess, context)
	load(tcg.TPMRCSuccess, to(size))
	load(tcg.TPMRCSize, to(size-1))
	load(tcg.TPMRCSize, to(size+1))
	load(tcg.TPMRCSize, to(len(context)+1))
	bad := to(size)
	bad[size-1] = 1
	load(tcg.TPMRCSize, bad)
	load(tcg.TPMRCInsufficient.P(1), context[:len(context)-1])

	s := x.save(x.session(tcg.TPMSEHMAC))
	x.want(tcg.TPMRCSize, tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(append(s, make([]byte, size-len(s))...)) })
}

// TestContextSizes: no context is larger than the properties say.
func TestContextSizes(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	digest := make([]byte, tcg.MaxDigestSize)
	auth := bytes.Repeat([]byte{1}, tcg.MaxDigestSize)
	k := &object.Object{Name: make([]byte, tcg.MaxNameSize), QualifiedName: make([]byte, tcg.MaxNameSize)}
	k.Public = tcg.TPMTPublic{Type: tcg.TPMAlgRSA, NameAlg: tcg.TPMAlgSHA512, AuthPolicy: digest, UniqueRSA: make([]byte, tcg.MaxRSAKeyBytes)}
	k.Public.RSA.Symmetric = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 256, Mode: tcg.TPMAlgCFB}
	k.Public.RSA.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA512}
	k.Public.RSA.KeyBits = 4096
	k.Sensitive = tcg.TPMTSensitive{SensitiveType: tcg.TPMAlgRSA, AuthValue: auth, SeedValue: digest, Sensitive: make([]byte, tcg.MaxRSAKeyBytes/2)}
	event := d.NewEventSequence(auth)
	event.Write(make([]byte, 100))
	objects := []*object.Object{k, {Seq: event}, {Seq: &object.Sequence{Auth: auth, Alg: tcg.TPMAlgSHA512, Hash: tpmcrypto.MustHash(tcg.TPMAlgSHA512)}}}
	for i, o := range objects {
		o.Hierarchy = tcg.TPMRHNull
		h, rc := d.Vol.Objects.Add(o)
		if rc != tcg.TPMRCSuccess {
			t.Fatal(rc)
		}
		if b := x.save(h); len(b) > maxObjectContext {
			t.Errorf("object %d: %d bytes", i, len(b))
		}
	}
	s := &session.Session{Handle: 0x03000000, Hash: tcg.TPMAlgSHA512, NonceTPM: digest, Key: digest, BindName: make([]byte, tcg.MaxNameSize), BindAuth: auth, AuditDigest: digest}
	s.Symmetric = tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 256, Mode: tcg.TPMAlgCFB}
	s.Policy = session.NewPolicy(tcg.TPMAlgSHA512, 0, 0)
	s.Policy.CPHash, s.Policy.NameHash, s.Policy.TemplateHash, s.Policy.ParametersHash = digest, digest, digest, digest
	d.Vol.Sessions[0] = s
	d.Reset.Contexts.Load(0)
	if b := x.save(s.Handle); len(b) > maxSessionContext {
		t.Errorf("session: %d bytes", len(b))
	}
}

// TestContextKeys: after a TPM Reset, sequence numbers begin again; what is saved
// under the same one is encrypted with another key.
func TestContextKeys(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	x := rawTPM{t, d}
	var was []byte
	for range 2 {
		d.Init()
		d.Execute(0, startupClear)
		h, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
		b := x.save(h)
		if binary.BigEndian.Uint32(b[4:]) != 1 {
			t.Fatalf("sequence number %d", binary.BigEndian.Uint32(b[4:]))
		}
		blob := b[18+2+32:] // without the integrity value
		if was != nil && bytes.Equal(blob[:64], was[:64]) {
			t.Error("the same object is the same ciphertext after a reset")
		}
		was = blob
	}
}

// withAuth makes sealed data below the parent, with an authorization value.
func (x rawTPM) withAuth(parent tcg.TPMHandle, auth []byte) (private []byte, public tcg.TPMTPublic) {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCCreate, handles(parent), func(w *tcg.Writer) {
		w.Nested(func(w *tcg.Writer) { w.Sized(auth); w.Sized([]byte("data")) })
		p := tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA}
		p.KeyedHash.Scheme.Scheme = tcg.TPMAlgNull
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	private = bytes.Clone(r.Sized(1000))
	public.Unmarshal2B(&r)
	return private, public.Clone()
}

func (x rawTPM) load(parent tcg.TPMHandle, private []byte, p tcg.TPMTPublic) tcg.TPMHandle {
	x.t.Helper()
	rc, h, _ := x.send(tcg.TPMCCLoad, handles(parent), func(w *tcg.Writer) { w.Sized(private); p.Marshal2B(w) })
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("Load: %#x", uint32(rc))
	}
	return h
}

// TestAuthSizes: nothing that leaves the TPM tells by its size how long an
// authorization value is; and blobs in which it is not padded load.
func TestAuthSizes(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	const storage = tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt
	srk, _, _ := x.eccKey(storage|tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent, noScheme, aes128CFB)
	sizes := map[string]map[int]bool{}
	size := func(what string, b []byte) {
		if sizes[what] == nil {
			sizes[what] = map[int]bool{}
		}
		sizes[what][len(b)] = true
	}
	for _, n := range []int{0, 1, 8, 31, 32} {
		auth := bytes.Repeat([]byte{'a'}, n)
		private, public := x.withAuth(srk, auth)
		size("Create", private)
		h := x.load(srk, private, public)
		o := d.Object(h)
		if !bytes.Equal(o.Sensitive.AuthValue, auth) {
			t.Errorf("loaded with the authorization value %x, not %x", o.Sensitive.AuthValue, auth)
		}
		size("ContextSave", x.save(h))

		// As earlier versions made it.
		w := object.StorageWrapper(d.Object(srk), o.Name)
		var plain tcg.Writer
		o.Sensitive.Marshal2B(&plain)
		old := x.load(srk, w.Wrap(d.Random(16), plain.B), public)
		r := tcg.NewReader(d.Execute(0, command(tcg.TPMCCUnseal, 1, auth, nil, old))[14:], nil)
		if data := r.Sized(100); string(data) != "data" {
			t.Errorf("unsealed %q", data)
		}
		x.flush(old)

		o.Sensitive.AuthValue = nil // the raw client has the empty password
		r = x.want(tcg.TPMRCSuccess, tcg.TPMCCObjectChangeAuth, handles(h, srk), func(w *tcg.Writer) { w.Sized(auth) })
		size("ObjectChangeAuth", r.Sized(1000))
		o.Sensitive.AuthValue = auth
		dup := &dispatch.Call{Params: []byte{0, 0, 0, 0x10}, Profile: d.Profile} // which takes a policy
		dup.Handles[0], dup.Handles[1] = h, tcg.TPMRHNull
		if err := duplicate(d, dup); err != nil {
			t.Fatal(err)
		}
		size("Duplicate", dup.Out.B)
		x.flush(h)

		rc, seq, _ := x.send(tcg.TPMCCHashSequenceStart, nil, func(w *tcg.Writer) { w.Sized(auth); w.Uint16(uint16(tcg.TPMAlgSHA256)) })
		if rc != tcg.TPMRCSuccess {
			t.Fatal(rc)
		}
		size("ContextSave of a sequence", x.save(seq))
		x.flush(seq)
		session := x.session(tcg.TPMSEHMAC)
		d.Session(session).BindName, d.Session(session).BindAuth = []byte{}, auth
		size("ContextSave of a session", x.save(session))

		// What comes from another TPM need not be padded; what is made of it is.
		r = x.want(tcg.TPMRCSuccess, tcg.TPMCCImport, handles(srk), func(w *tcg.Writer) {
			w.Sized(nil)
			public.Marshal2B(w)
			w.Sized(plain.B)
			w.Sized(nil)
			w.Uint16(uint16(tcg.TPMAlgNull))
		})
		private = bytes.Clone(r.Sized(1000))
		size("Import", private)
		x.flush(x.load(srk, private, public))
	}
	for what, n := range sizes {
		if len(n) != 1 {
			t.Errorf("%s: sizes %v", what, n)
		}
	}
	if len(sizes) != 7 {
		t.Errorf("%d kinds were looked at", len(sizes))
	}
}
