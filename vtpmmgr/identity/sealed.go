package identity

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// MaxSealed is the size in bytes of the largest secret that Seal takes.
const MaxSealed = 64

// ErrWithheld is wrapped by the error of Unseal if the TPM does not give the secret out as it
// is now: it has other PCRs, or it is not the TPM and the authorization value that sealed it.
var ErrWithheld = errors.New("identity: the hardware TPM withholds what is sealed")

// Seal has the TPM seal a secret, which it gives out where the keys can be used and nowhere
// else. The result is of about 300 bytes.
func (h *Host) Seal(secret []byte) ([]byte, error) {
	if len(secret) == 0 || len(secret) > MaxSealed {
		return nil, fmt.Errorf("identity: %d bytes cannot be sealed", len(secret))
	}
	policy, err := h.Policy.Digest()
	if err != nil {
		return nil, err
	}
	srk, public, done, err := h.storageKey()
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: srk.ObjectHandle, Name: srk.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(srk.ObjectHandle, public), tpm2.AESEncryption(128, tpm2.EncryptIn))},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: h.Auth},
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			// No userWithAuth: the policy is the only way.
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true}, AuthPolicy: tpm2.TPM2BDigest{Buffer: policy}}),
	}.Execute(h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: seal: %w", err)
	}
	b := cryptobyte.NewBuilder(nil)
	for _, f := range [][]byte{r.OutPublic.Bytes(), r.OutPrivate.Buffer} {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(f) })
	}
	return b.Bytes()
}

// Unseal returns what Seal sealed.
func (h *Host) Unseal(sealed []byte) ([]byte, error) {
	var public, private cryptobyte.String
	if s := cryptobyte.String(sealed); !s.ReadUint16LengthPrefixed(&public) || !s.ReadUint16LengthPrefixed(&private) || !s.Empty() {
		return nil, fmt.Errorf("%w: sealed secret", ErrFormat)
	}
	secret, err := h.unseal(Key{Public: public, Private: private})
	if rc := tpm2.TPMRC(0); errors.Is(err, ErrOtherTPM) || errors.As(err, &rc) && !isWarning(rc) {
		err = fmt.Errorf("%w: %w", ErrWithheld, err)
	}
	return secret, err
}

// isWarning reports whether a command may succeed later (TPM 2.0 Part 2, 6.6.3, RC_WARN).
func isWarning(rc tpm2.TPMRC) bool { return rc&0x980 == 0x900 }

func (h *Host) unseal(k Key) ([]byte, error) {
	o, done, err := h.load(k)
	if err != nil {
		return nil, err
	}
	defer done()
	srk, public, doneSRK, err := h.storageKey()
	if err != nil {
		return nil, err
	}
	defer doneSRK()
	r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: o.Handle, Name: o.Name,
		Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, h.Policy.satisfy, tpm2.Auth(h.Auth), tpm2.Salted(srk.ObjectHandle, public), tpm2.AESEncryption(128, tpm2.EncryptOut))}}.Execute(h.Bus)
	if err != nil {
		return nil, fmt.Errorf("identity: unseal: %w", err)
	}
	return r.OutData.Buffer, nil
}
