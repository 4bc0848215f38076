package peer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/transfer"
)

// ErrUntrusted is wrapped by the errors of evidence that does not show what it should.
var ErrUntrusted = errors.New("peer: evidence refused")

// A Verifier checks evidence of managers whose certificates lead to one of some roots.
type Verifier struct {
	Roots []*x509.Certificate
	Now   time.Time
}

// Verify returns what evidence for a message's hash and a nonce shows.
func (v *Verifier) Verify(b []byte, message, nonce transfer.Hash) (*transfer.Claims, error) {
	e, err := Parse(b)
	if err != nil {
		return nil, err
	}
	chain, err := v.chain(e.Chain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	claims, err := cert.HostClaimsOf(chain[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if err := checkQuote(e.Quote, claims.AK, Binding(claims.Manager, e.Labels, message, nonce)); err != nil {
		return nil, fmt.Errorf("%w: quote: %w", ErrUntrusted, err)
	}
	place, err := cert.KeyHash(chain[1].PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return &transfer.Claims{Manager: claims.Manager, Image: claims.Image, SecurityVersion: claims.SecurityVersion, Place: place, Labels: e.Labels}, nil
}

// chain returns the certificates from the manager's to a root.
func (v *Verifier) chain(ders [][]byte) ([]*x509.Certificate, error) {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: v.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range v.Roots {
		o.Roots.AddCert(r)
	}
	var first *x509.Certificate
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = c
		} else {
			o.Intermediates.AddCert(c)
		}
	}
	all, err := first.Verify(o)
	if err != nil {
		return nil, err
	}
	for _, chain := range all {
		if err = checkChain(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// checkChain refuses a manager that is its own root, or for which another manager vouches:
// x509.Certificate.Verify took its certificate for the end of the chain, so that no limit of
// the chain's length counted.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) < 2 {
		return errors.New("the manager is its own root")
	}
	for i, c := range chain {
		if !c.IsCA || c.MaxPathLen >= 0 && i > c.MaxPathLen && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
			return fmt.Errorf("%s may not have %d certification authorities below it", c.Subject, i)
		}
		if _, err := cert.HostClaimsOf(c); i > 0 && err == nil {
			return fmt.Errorf("%s is a manager, and vouches for another", c.Subject)
		}
	}
	return nil
}

// checkQuote verifies a quote by the key with a Name over qualifying data. The values of the
// PCRs need no look: the key obeys those only that it was admitted with.
func checkQuote(b, name []byte, binding evidence.Hash) error {
	q, err := evidence.ParseQuote(b)
	if err != nil {
		return err
	}
	public, key, err := cert.ParsePublic(q.Key)
	if err != nil {
		return err
	}
	own, err := tpm2.ObjectName(public)
	if err != nil {
		return err
	}
	ak, ok := key.(*ecdsa.PublicKey)
	if !ok || !bytes.Equal(own.Buffer, name) || !cert.IsAK(public) {
		return errors.New("not by the attestation key of the certificate")
	}
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](q.Signature)
	if err != nil || !bytes.Equal(tpm2.Marshal(*sig), q.Signature) || sig.SigAlg != tpm2.TPMAlgECDSA {
		return errors.New("signature is malformed")
	}
	s, err := sig.Signature.ECDSA()
	if err != nil || s.Hash != tpm2.TPMAlgSHA256 {
		return errors.New("signature is not by ECDSA with SHA-256")
	}
	digest := sha256.Sum256(q.Attest)
	if !ecdsa.Verify(ak, digest[:], new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer)) {
		return errors.New("signature is not the key's")
	}
	a, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Attest)
	if err != nil || !bytes.Equal(tpm2.Marshal(*a), q.Attest) {
		return errors.New("attestation is malformed")
	}
	if a.Magic != tpm2.TPMGeneratedValue || a.Type != tpm2.TPMSTAttestQuote {
		return errors.New("not a quote")
	}
	if !bytes.Equal(a.ExtraData.Buffer, binding[:]) {
		return errors.New("over another message or nonce, or by another manager")
	}
	return nil
}
