package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// A Key is a TPM object as it is stored.
type Key struct {
	Public  []byte // TPMT_PUBLIC
	Private []byte // contents of TPM2B_PRIVATE
}

// A Host is a manager's identity in its hardware TPM. It is not safe for
// concurrent use, and leaves nothing loaded.
type Host struct {
	Bus    transport.TPM
	Policy Policy

	// Auth authorizes both keys: 1 to 32 bytes, none of them zero, since go-tpm
	// cuts a value at its first one.
	Auth []byte

	OwnerAuth, EndorsementAuth []byte

	// StorageName is the Name of the storage key under which the keys are. Create
	// sets it if it is nil; another chip, or who plays one on the bus, has another.
	StorageName []byte

	AK, Certifier Key
}

// Create makes both keys.
func (h *Host) Create() error {
	policy, err := h.Policy.Digest()
	if err != nil {
		return err
	}
	if h.AK, err = h.create(template(true, policy)); err != nil {
		return err
	}
	h.Certifier, err = h.create(template(false, policy))
	return err
}

// storageKey makes the storage key; done flushes it.
func (h *Host) storageKey() (srk *tpm2.CreatePrimaryResponse, public tpm2.TPMTPublic, done func(), err error) {
	srk, err = tpm2.CreatePrimary{PrimaryHandle: withPassword(tpm2.TPMRHOwner, h.OwnerAuth), InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(h.Bus)
	if err != nil {
		return nil, public, nil, fmt.Errorf("identity: storage key: %w", err)
	}
	done = func() { h.flush(srk.ObjectHandle) }
	p, err := srk.OutPublic.Contents()
	if err == nil {
		err = h.checkStorage(p)
	}
	if err != nil {
		done()
		return nil, public, nil, fmt.Errorf("identity: storage key: %w", err)
	}
	return srk, *p, done, nil
}

// checkStorage computes the Name of the storage key and compares it with the one
// of before.
func (h *Host) checkStorage(p *tpm2.TPMTPublic) error {
	name, err := tpm2.ObjectName(p)
	if err != nil {
		return err
	}
	if h.StorageName == nil {
		h.StorageName = name.Buffer
	}
	if !bytes.Equal(h.StorageName, name.Buffer) {
		return ErrOtherTPM
	}
	return nil
}

// ErrOtherTPM is the error of a hardware TPM that is not the one of the keys.
var ErrOtherTPM = errors.New("identity: the hardware TPM is not the one that holds the keys")

func withPassword(hierarchy tpm2.TPMHandle, auth []byte) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: hierarchy, Auth: tpm2.PasswordAuth(auth)}
}

func (h *Host) flush(handle tpm2.TPMHandle) { tpm2.FlushContext{FlushHandle: handle}.Execute(h.Bus) }

func (h *Host) create(t tpm2.TPMTPublic) (Key, error) {
	srk, public, done, err := h.storageKey()
	if err != nil {
		return Key{}, err
	}
	defer done()
	r, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: srk.ObjectHandle, Name: srk.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(srk.ObjectHandle, public), tpm2.AESEncryption(128, tpm2.EncryptIn))},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: h.Auth}}},
		InPublic:    tpm2.New2B(t),
	}.Execute(h.Bus)
	if err != nil {
		return Key{}, fmt.Errorf("identity: new key: %w", err)
	}
	return Key{Public: r.OutPublic.Bytes(), Private: r.OutPrivate.Buffer}, nil
}

// load loads a key; done flushes it.
func (h *Host) load(k Key) (loaded tpm2.NamedHandle, done func(), err error) {
	srk, _, doneSRK, err := h.storageKey()
	if err != nil {
		return loaded, nil, err
	}
	defer doneSRK()
	r, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name},
		InPrivate: tpm2.TPM2BPrivate{Buffer: k.Private}, InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](k.Public)}.Execute(h.Bus)
	if err != nil {
		return loaded, nil, fmt.Errorf("identity: load: %w", err)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, func() { h.flush(r.ObjectHandle) }, nil
}

// byPolicy authorizes the use of a key.
func (h *Host) byPolicy(k tpm2.NamedHandle) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.Handle, Name: k.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, h.Policy.satisfy, tpm2.Auth(h.Auth))}
}

// byAuth authorizes what Part 3 gives the role ADMIN.
func (h *Host) byAuth(k tpm2.NamedHandle) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.Handle, Name: k.Name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(h.Auth))}
}

func noScheme() tpm2.TPMTSigScheme { return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull} }

// Quote quotes PCRs of the SHA-256 bank by the attestation key.
func (h *Host) Quote(pcrs []uint, nonce evidence.Hash) (*evidence.Quote, error) {
	ak, done, err := h.load(h.AK)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := tpm2.Quote{SignHandle: h.byPolicy(ak), QualifyingData: tpm2.TPM2BData{Buffer: nonce[:]}, InScheme: noScheme(), PCRSelect: selection(pcrs)}.Execute(h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: quote: %w", err)
	}
	now, err := Present(h.Bus, pcrs)
	if err != nil {
		return nil, err
	}
	q := &evidence.Quote{Key: h.AK.Public, Attest: r.Quoted.Bytes(), Signature: tpm2.Marshal(r.Signature)}
	for i, n := range pcrs {
		q.PCRs = append(q.PCRs, evidence.PCR{Bank: uint16(tpm2.TPMAlgSHA256), Index: uint8(n), Digest: now.Values[32*i : 32*i+32]})
	}
	return q, nil
}

// certify has the attestation key certify the certification key.
func (h *Host) certify(nonce evidence.Hash) (attest, signature []byte, err error) {
	ak, done, err := h.load(h.AK)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ca, done, err := h.load(h.Certifier)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	r, err := tpm2.Certify{ObjectHandle: h.byAuth(ca), SignHandle: h.byPolicy(ak), QualifyingData: tpm2.TPM2BData{Buffer: nonce[:]}, InScheme: noScheme()}.Execute(h.Bus)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: certify: %w", err)
	}
	return r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature), nil
}

// activate opens a credential for the attestation key with an endorsement key.
func (h *Host) activate(ek tpm2.TPMTPublic, blob, secret []byte) ([]byte, error) {
	ak, done, err := h.load(h.AK)
	if err != nil {
		return nil, err
	}
	defer done()
	key, err := tpm2.CreatePrimary{PrimaryHandle: withPassword(tpm2.TPMRHEndorsement, h.EndorsementAuth), InPublic: tpm2.New2B(ek)}.Execute(h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: endorsement key: %w", err)
	}
	defer h.flush(key.ObjectHandle)
	r, err := tpm2.ActivateCredential{
		ActivateHandle: h.byAuth(ak),
		KeyHandle: tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16,
			func(bus transport.TPM, s tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
				_, err := tpm2.PolicySecret{AuthHandle: withPassword(tpm2.TPMRHEndorsement, h.EndorsementAuth), PolicySession: s, NonceTPM: nonce}.Execute(bus)
				return err
			})},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: blob}, Secret: tpm2.TPM2BEncryptedSecret{Buffer: secret},
	}.Execute(h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: credential: %w", err)
	}
	return r.CertInfo.Buffer, nil
}

// Signer returns the certification key, for package cert.
func (h *Host) Signer() (crypto.Signer, error) {
	_, key, err := cert.ParsePublic(h.Certifier.Public)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("identity: the certification key is not of P-256")
	}
	return &signer{h, public}, nil
}

type signer struct {
	h      *Host
	public *ecdsa.PublicKey
}

func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a SHA-256 digest. The TPM makes its random numbers itself.
func (s *signer) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("identity: the certification key signs SHA-256 only, not %v", o.HashFunc())
	}
	ca, done, err := s.h.load(s.h.Certifier)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := tpm2.Sign{KeyHandle: s.h.byPolicy(ca), Digest: tpm2.TPM2BDigest{Buffer: digest}, InScheme: noScheme(),
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}.Execute(s.h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: sign: %w", err)
	}
	e, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(e.SignatureR.Buffer), new(big.Int).SetBytes(e.SignatureS.Buffer)})
}
