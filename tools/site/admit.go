package site

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/verify"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
)

// ErrRefused is wrapped by the errors of hosts that are not admitted.
var ErrRefused = errors.New("site: refused")

// An admission is a request that was found in order.
type admission struct {
	request   *identity.Request
	ek        *tpm2.TPMTPublic
	akName    []byte
	certifier any // public key
	claims    *cert.HostClaims
}

// A reviewer is what requests are held against.
type reviewer struct {
	policy *Policy
	check  func(der, chain, public []byte) error // of the EK certificate
}

// review checks all that a request can show by itself. An EK certificate given by
// the operator takes the place of the request's.
func (v *reviewer) review(request, ekCertificate []byte) (*admission, error) {
	r, err := identity.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	if ekCertificate == nil {
		ekCertificate = r.Certificate
	}
	if len(ekCertificate) == 0 {
		return nil, fmt.Errorf("%w: the chip has no EK certificate; give its maker's with --ek-certificate", ErrRefused)
	}
	if err := v.check(ekCertificate, r.Chain, r.EK); err != nil {
		return nil, err
	}
	if err := v.policy.checkManager(r); err != nil {
		return nil, err
	}
	a := &admission{request: r}
	return a, a.readKeys()
}

// chip tells one hardware TPM from another.
func (a *admission) chip() string {
	h := sha256.Sum256(a.request.EK)
	return hex.EncodeToString(h[:])
}

// readKeys checks the three public areas of the request.
func (a *admission) readKeys() error {
	var err error
	if a.ek, _, err = cert.ParsePublic(a.request.EK); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	ak, _, err := cert.ParsePublic(a.request.AK)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	certifier, key, err := cert.ParsePublic(a.request.Certifier)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := identity.CheckKeys(ak, certifier, &a.request.Policy); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	a.akName, a.certifier = name.Buffer, key
	a.claims = &cert.HostClaims{Manager: a.request.Manager, AK: name.Buffer, Image: a.request.Image, SecurityVersion: a.request.SecurityVersion}
	return nil
}

// answerTime is for how long a challenge can be answered.
const answerTime = 24 * time.Hour

// challenge makes a challenge, and what is to be remembered of it.
func (a *admission) challenge(now time.Time) (*identity.Challenge, *asked, error) {
	key, err := tpm2.ImportEncapsulationKey(a.ek)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: endorsement key: %w", ErrRefused, err)
	}
	c, w := new(identity.Challenge), &asked{Secret: make([]byte, identity.SecretSize), Until: now.Add(answerTime)}
	rand.Read(w.Secret)
	rand.Read(c.Nonce[:])
	w.Nonce = c.Nonce[:]
	if c.Credential, c.Secret, err = tpm2.CreateCredential(rand.Reader, key, a.akName, w.Secret); err != nil {
		return nil, nil, fmt.Errorf("%w: endorsement key: %w", ErrRefused, err)
	}
	return c, w, nil
}

// checkAnswer returns nil if an answer proves that both keys are in the chip and
// that it is in the PCR state of the request.
func (a *admission) checkAnswer(request, answer []byte, w *asked, now time.Time) error {
	r, err := identity.ParseAnswer(answer)
	if err != nil {
		return err
	}
	if now.After(w.Until) || len(w.Nonce) != identity.NonceSize {
		return fmt.Errorf("%w: the challenge ended on %s", ErrRefused, w.Until.UTC().Format(time.RFC3339))
	}
	if subtle.ConstantTimeCompare(r.Secret[:], w.Secret) != 1 {
		return fmt.Errorf("%w: the answer does not have the credential's secret: another chip, or another attestation key", ErrRefused)
	}
	over := identity.Binding(request, [identity.NonceSize]byte(w.Nonce))
	if err := verify.Certified(a.request.AK, r.Attest, r.Signature, a.request.Certifier, over); err != nil {
		return fmt.Errorf("%w: certification key: %w", ErrRefused, err)
	}
	values, err := verify.Quoted(r.Quote, a.akName, over, a.request.Policy.PCRs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !bytes.Equal(values, a.request.Policy.Values) {
		return fmt.Errorf("%w: the chip is not in the PCR state of its keys", ErrRefused)
	}
	return nil
}
