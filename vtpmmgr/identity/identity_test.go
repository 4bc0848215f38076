package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
)

// A chip stands for the hardware TPM: this project's device. Its bus can fail.
type chip struct {
	d    *vtpm.Device
	left int // commands until the bus fails; negative for never
}

func (c *chip) Save([]byte) error { return nil }

var errBus = errors.New("bus")

func (c *chip) Send(command []byte) ([]byte, error) {
	if c.left == 0 {
		c.left = -1 // once
		return nil, errBus
	}
	c.left--
	return bytes.Clone(c.d.Execute(0, command)), nil
}

func newChip(t testing.TB) *chip {
	t.Helper()
	c := &chip{left: -1}
	var err error
	if c.d, err = vtpm.Manufacture(vtpm.Config{Store: c}); err != nil {
		t.Fatal(err)
	}
	startup(t, c)
	return c
}

func startup(t testing.TB, bus transport.TPM) {
	t.Helper()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(bus); err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		t.Fatal(err)
	}
}

func newHost(t testing.TB, bus transport.TPM) *Host {
	t.Helper()
	p, err := Present(bus, []uint{0, 4, 7})
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Bus: bus, Policy: *p, Auth: bytes.Repeat([]byte{7}, 32)}
	if err := h.Create(); err != nil {
		t.Fatal(err)
	}
	return h
}

// endorsement returns the chip's key of P-256, without a certificate.
func endorsement(t testing.TB, bus transport.TPM, template tpm2.TPMTPublic) *Endorsement {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(bus)
	if err != nil {
		t.Fatal(err)
	}
	tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(bus)
	return &Endorsement{Template: template, Public: r.OutPublic.Bytes()}
}

func challenge(t testing.TB, e *Endorsement, ak []byte, secret [SecretSize]byte) *Challenge {
	t.Helper()
	public, _, err := cert.ParsePublic(e.Public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tpm2.ImportEncapsulationKey(public)
	if err != nil {
		t.Fatal(err)
	}
	akPublic, _, err := cert.ParsePublic(ak)
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.ObjectName(akPublic)
	if err != nil {
		t.Fatal(err)
	}
	blob, encrypted, err := tpm2.CreateCredential(rand.Reader, key, name.Buffer, secret[:])
	if err != nil {
		t.Fatal(err)
	}
	return &Challenge{Nonce: [NonceSize]byte{5}, Credential: blob, Secret: encrypted}
}

// loaded returns how many transient objects and sessions the chip holds.
func loaded(t testing.TB, bus transport.TPM) int {
	t.Helper()
	n := 0
	for _, first := range []uint32{0x02000000, 0x03000000, 0x80000000} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(bus)
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.CapabilityData.Data.Handles()
		if err != nil {
			t.Fatal(err)
		}
		n += len(list.Handle)
	}
	return n
}

// chips runs a test on this project's device and on another maker's.
func chips(t *testing.T, test func(t *testing.T, bus transport.TPM)) {
	t.Run("stubtpm", func(t *testing.T) { t.Parallel(); test(t, newChip(t)) })
	t.Run("swtpm", func(t *testing.T) {
		t.Parallel()
		bus := swtpm(t)
		startup(t, bus)
		test(t, bus)
	})
}

// TestHost: both keys are those that CheckKeys wants, work in the PCR state of
// the policy with the authorization, and leave nothing loaded.
func TestHost(t *testing.T) {
	t.Parallel()
	chips(t, func(t *testing.T, bus transport.TPM) {
		h := newHost(t, bus)
		ak, _, err := cert.ParsePublic(h.AK.Public)
		if err != nil {
			t.Fatal(err)
		}
		ca, _, err := cert.ParsePublic(h.Certifier.Public)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckKeys(ak, ca, &h.Policy); err != nil || !cert.IsAK(ak) || cert.IsAK(ca) {
			t.Errorf("%v", err)
		}
		if CheckKeys(ca, ak, &h.Policy) == nil {
			t.Error("the keys can be swapped")
		}
		signer, err := h.Signer()
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte("certificate"))
		sig, err := signer.Sign(nil, digest[:], crypto.SHA256)
		if err != nil || !ecdsa.VerifyASN1(signer.Public().(*ecdsa.PublicKey), digest[:], sig) {
			t.Errorf("signature: %v", err)
		}
		for _, template := range []tpm2.TPMTPublic{tpm2.ECCEKTemplate, tpm2.RSAEKTemplate} {
			e := endorsement(t, bus, template)
			secret := [SecretSize]byte{9}
			a, err := h.Answer([]byte("request"), challenge(t, e, h.AK.Public, secret), e)
			if err != nil || a.Secret != secret {
				t.Fatalf("answer: %v", err)
			}
			if _, err := h.Answer([]byte("request"), challenge(t, e, h.Certifier.Public, secret), e); err == nil {
				t.Error("a credential for another key is opened")
			}
		}
		if n := loaded(t, bus); n != 0 {
			t.Errorf("%d objects and sessions are left", n)
		}
	})
}

// TestKeysObey: neither another authorization nor another PCR state will do.
func TestKeysObey(t *testing.T) {
	t.Parallel()
	chips(t, func(t *testing.T, bus transport.TPM) {
		h := newHost(t, bus)
		refuses := func(h Host, what string) {
			t.Helper()
			if _, err := h.Quote([]uint{0}, [32]byte{1}); err == nil {
				t.Errorf("%s: the attestation key quotes", what)
			}
			s, err := h.Signer()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil {
				t.Errorf("%s: the certification key signs", what)
			}
		}
		other := *h
		other.Auth = bytes.Repeat([]byte{8}, 32)
		refuses(other, "another authorization")
		if _, err := h.Quote([]uint{0}, [32]byte{1}); err != nil {
			t.Error(err)
		}
		_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 7, Auth: tpm2.PasswordAuth(nil)},
			Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(bus)
		if err != nil {
			t.Fatal(err)
		}
		refuses(*h, "other PCRs")
		if n := loaded(t, bus); n != 0 {
			t.Errorf("%d objects and sessions are left", n)
		}
	})
}

// TestStorageName: keys are not made below the key of another chip.
func TestStorageName(t *testing.T) {
	t.Parallel()
	h := newHost(t, newChip(t))
	if len(h.StorageName) != 34 {
		t.Fatalf("Name %x", h.StorageName)
	}
	h.Bus = newChip(t)
	if err := h.Create(); !errors.Is(err, ErrOtherTPM) {
		t.Error(err)
	}
}

// TestBusFails: the bus fails once, at every command. The host reports it, or it
// was a FlushContext; when what is left loaded was flushed, the next try works.
func TestBusFails(t *testing.T) {
	t.Parallel()
	c := newChip(t)
	h := newHost(t, c)
	e := endorsement(t, c, tpm2.ECCEKTemplate)
	ch := challenge(t, e, h.AK.Public, [SecretSize]byte{9})
	steps := []func() error{h.Create, func() error { _, err := h.Answer(nil, ch, e); return err },
		func() error { _, err := ReadEndorsement(c, nil); return err }}
	for i, step := range steps {
		failed := 0
		for n := 0; ; n++ {
			keep := *h
			c.left = n
			err := step()
			*h = keep
			if c.left >= 0 {
				c.left = -1
				break // it needs fewer commands
			}
			// A lost answer to FlushContext is no error: what it was for is done.
			if err != nil && (errors.Is(err, errBus) || i == 2) {
				failed++
			}
			flush(t, c)
			if err := step(); err != nil && !(i == 2 && errors.Is(err, ErrNoCertificate)) {
				t.Fatalf("step %d, command %d: %v", i, n, err)
			}
			*h = keep
		}
		if failed == 0 {
			t.Errorf("step %d: no failure was reported", i)
		}
	}
}

// flush frees all that is loaded, as the next start of the manager does.
func flush(t testing.TB, bus transport.TPM) {
	t.Helper()
	for _, first := range []uint32{0x02000000, 0x80000000} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(bus)
		if err != nil {
			t.Fatal(err)
		}
		list, _ := r.CapabilityData.Data.Handles()
		for _, h := range list.Handle {
			tpm2.FlushContext{FlushHandle: h}.Execute(bus)
		}
	}
}

// put writes an NV index that everybody may read, as a chip's maker does.
func put(t *testing.T, bus transport.TPM, index tpm2.TPMHandle, b []byte) {
	t.Helper()
	public := tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(b)),
		Attributes: tpm2.TPMANV{PlatformCreate: true, PPWrite: true, AuthRead: true, OwnerRead: true, PPRead: true, NoDA: true}}
	platform := tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: platform, PublicInfo: tpm2.New2B(public)}).Execute(bus); err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.NVName(&public)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += 512 {
		w := tpm2.NVWrite{AuthHandle: platform, NVIndex: tpm2.NamedHandle{Handle: index, Name: *name},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: b[at:min(len(b), at+512)]}, Offset: uint16(at)}
		if _, err := w.Execute(bus); err != nil {
			t.Fatal(err)
		}
		// The first write changes the attributes, and so the Name.
		r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(bus)
		if err != nil {
			t.Fatal(err)
		}
		*name = r.NVName
	}
}

// TestReadEndorsement: certificates are found at the indices of the profile, also
// in indices that are larger; the first gap ends the chain.
func TestReadEndorsement(t *testing.T) {
	t.Parallel()
	chips(t, func(t *testing.T, bus transport.TPM) {
		if _, err := ReadEndorsement(bus, nil); !errors.Is(err, ErrNoCertificate) {
			t.Fatal(err)
		}
		der := func(n int, fill byte) []byte {
			return append([]byte{0x30, 0x82, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{fill}, n)...)
		}
		ek, one, two, three := der(900, 1), der(300, 2), der(700, 3), der(10, 4)
		put(t, bus, 0x01C00002, append(bytes.Clone(ek), 0xFF, 0xFF, 0xFF))
		put(t, bus, 0x01C00100, append(bytes.Clone(one), two...))
		put(t, bus, 0x01C00101, append(der(400, 5), 0))
		put(t, bus, 0x01C00103, three)
		e, err := ReadEndorsement(bus, nil)
		if err != nil || !bytes.Equal(e.Certificate, ek) || !bytes.Equal(e.Chain, bytes.Join([][]byte{one, two, der(400, 5)}, nil)) || e.Template.Type != tpm2.TPMAlgRSA {
			t.Errorf("%v: %+v", err, e)
		}
		put(t, bus, 0x01C0000A, one)
		if e, err = ReadEndorsement(bus, nil); err != nil || !bytes.Equal(e.Certificate, one) || e.Template.Type != tpm2.TPMAlgECC {
			t.Errorf("%v: %+v", err, e)
		}
	})
}
