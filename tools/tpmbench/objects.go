package main

import (
	"encoding/binary"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/hosted/tpmproc"
)

// A keyring lists the objects that a case loaded, to be flushed after it.
type keyring struct {
	c       *tpmproc.Conn
	handles []tpm2.TPMHandle
}

func (k *keyring) clean() {
	for i := len(k.handles) - 1; i >= 0; i-- {
		flush(k.c, k.handles[i])
	}
}

func flush(c *tpmproc.Conn, h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(c)
	return err
}

// parent creates the ECC storage key.
func (k *keyring) parent() (tpm2.AuthHandle, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(k.c)
	if err != nil {
		return tpm2.AuthHandle{}, err
	}
	k.handles = append(k.handles, r.ObjectHandle)
	return tpm2.AuthHandle{Handle: r.ObjectHandle, Name: r.Name, Auth: tpm2.PasswordAuth(nil)}, nil
}

// key creates a key below a new parent and loads it.
func (k *keyring) key(t template) (tpm2.NamedHandle, error) {
	parent, err := k.parent()
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	made, err := t.create(parent).Execute(k.c)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	l, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(k.c)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	k.handles = append(k.handles, l.ObjectHandle)
	return tpm2.NamedHandle{Handle: l.ObjectHandle, Name: l.Name}, nil
}

// A template is a public area and, for a sealed object, its data.
type template struct {
	public tpm2.TPMTPublic
	data   []byte
	scheme tpm2.TPMTSigScheme
}

func (t template) create(parent tpm2.AuthHandle) tpm2.Create {
	c := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(t.public)}
	if t.data != nil {
		c.InSensitive = tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: t.data})}}
	}
	return c
}

var signerAttributes = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true}

func eccSigner() template {
	return template{
		public: tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: signerAttributes,
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})},
		scheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
	}
}

func rsaSigner(scheme tpm2.TPMAlgID) template {
	return template{
		public: tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: signerAttributes,
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048})},
		scheme: tpm2.TPMTSigScheme{Scheme: scheme,
			Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
	}
}

func sealed(policy []byte) template {
	a := tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true, UserWithAuth: policy == nil}
	return template{public: tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: a, AuthPolicy: tpm2.TPM2BDigest{Buffer: policy}}, data: make([]byte, 32)}
}

// createPrimary creates another key each time, by the template's unique field, because
// the time of the search for primes depends on the key.
func createPrimary(name string, slow int, t tpm2.TPMTPublic) benchCase {
	return benchCase{name, slow, func(c *tpmproc.Conn) (op, func(), error) {
		n := uint64(0)
		return func() (time.Duration, error) {
			n++
			unique := binary.BigEndian.AppendUint64(nil, n)
			if t.Type == tpm2.TPMAlgRSA {
				t.Unique = tpm2.NewTPMUPublicID(t.Type, &tpm2.TPM2BPublicKeyRSA{Buffer: unique})
			} else {
				t.Unique = tpm2.NewTPMUPublicID(t.Type, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: unique}})
			}
			var h tpm2.TPMHandle
			d, err := c.Timed(func() error {
				r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(t)}.Execute(c)
				if err == nil {
					h = r.ObjectHandle
				}
				return err
			})
			if err != nil {
				return 0, err
			}
			return d, flush(c, h)
		}, nil, nil
	}}
}

func create(name string, slow int, t template) benchCase {
	return benchCase{name, slow, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		parent, err := k.parent()
		return func() (time.Duration, error) {
			return c.Timed(func() error {
				_, err := t.create(parent).Execute(c)
				return err
			})
		}, k.clean, err
	}}
}

func load(name string, t template) benchCase {
	return benchCase{name, 1, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		parent, err := k.parent()
		if err != nil {
			return nil, k.clean, err
		}
		made, err := t.create(parent).Execute(c)
		return func() (time.Duration, error) {
			var h tpm2.TPMHandle
			d, err := c.Timed(func() error {
				l, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(c)
				if err == nil {
					h = l.ObjectHandle
				}
				return err
			})
			if err != nil {
				return 0, err
			}
			return d, flush(c, h)
		}, k.clean, err
	}}
}

// withKey returns a case that uses a loaded key.
func withKey(name string, slow int, t template, f func(*tpmproc.Conn, tpm2.NamedHandle) error) benchCase {
	return benchCase{name, slow, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		key, err := k.key(t)
		return func() (time.Duration, error) { return c.Timed(func() error { return f(c, key) }) }, k.clean, err
	}}
}

var digest32 = tpm2.TPM2BDigest{Buffer: make([]byte, 32)}

func signCommand(key tpm2.NamedHandle, t template) tpm2.Sign {
	return tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
		Digest:    digest32, InScheme: t.scheme,
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}
}

func sign(name string, slow int, t template) benchCase {
	return withKey(name, slow, t, func(c *tpmproc.Conn, key tpm2.NamedHandle) error {
		_, err := signCommand(key, t).Execute(c)
		return err
	})
}

func verify(name string, t template) benchCase {
	return benchCase{name, 2, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		key, err := k.key(t)
		if err != nil {
			return nil, k.clean, err
		}
		sig, err := signCommand(key, t).Execute(c)
		return func() (time.Duration, error) {
			return c.Timed(func() error {
				_, err := tpm2.VerifySignature{KeyHandle: key, Digest: digest32, Signature: sig.Signature}.Execute(c)
				return err
			})
		}, k.clean, err
	}}
}

func quote(name string, slow int, t template) benchCase {
	return withKey(name, slow, t, func(c *tpmproc.Conn, key tpm2.NamedHandle) error {
		_, err := tpm2.Quote{
			SignHandle: tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
			InScheme:   t.scheme,
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
				Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 1, 2, 7)}}},
		}.Execute(c)
		return err
	})
}

// decrypt returns a case that encrypts once and decrypts each time.
func decrypt(name string) benchCase {
	scheme := tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgOAEP,
		Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: tpm2.TPMAlgSHA256})}
	t := rsaSigner(tpm2.TPMAlgNull)
	t.public.ObjectAttributes.SignEncrypt, t.public.ObjectAttributes.Decrypt = false, true
	return benchCase{name, 4, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		key, err := k.key(t)
		if err != nil {
			return nil, k.clean, err
		}
		secret, err := tpm2.RSAEncrypt{KeyHandle: key.Handle, Message: tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 32)}, InScheme: scheme}.Execute(c)
		return func() (time.Duration, error) {
			return c.Timed(func() error {
				_, err := tpm2.RSADecrypt{
					KeyHandle:  tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
					CipherText: secret.OutData, InScheme: scheme}.Execute(c)
				return err
			})
		}, k.clean, err
	}}
}

func contextSaveLoad() benchCase {
	return benchCase{"ContextSave+ContextLoad ECC key", 1, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		key, err := k.key(eccSigner())
		return func() (time.Duration, error) {
			var h tpm2.TPMHandle
			d, err := c.Timed(func() error {
				s, err := tpm2.ContextSave{SaveHandle: key.Handle}.Execute(c)
				if err != nil {
					return err
				}
				l, err := tpm2.ContextLoad{Context: s.Context}.Execute(c)
				if err == nil {
					h = l.LoadedHandle
				}
				return err
			})
			if err != nil {
				return 0, err
			}
			return d, flush(c, h)
		}, k.clean, err
	}}
}
