// Package identity is what a manager proves itself with: an attestation key and
// a certification key in the hardware TPM, and the three messages by which a site
// admits it.
//
// Both keys obey only a program that knows their authorization value and finds
// the PCRs of their policy; they never leave the TPM. The package has no build
// tag and runs anywhere.
package identity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// ErrFormat is wrapped by the errors of messages and policies that are
// malformed.
var ErrFormat = errors.New("identity: malformed")

// A Policy says when the keys may be used. Where firmware or manager change so
// that the PCRs do, a host makes new keys and is admitted again.
type Policy struct {
	PCRs   []uint // SHA-256 bank, below 24, in order; at least one
	Values []byte // 32 bytes for each
}

func (p *Policy) check() error {
	bad := len(p.PCRs) == 0 || len(p.Values) != 32*len(p.PCRs)
	for i, n := range p.PCRs {
		bad = bad || n > 23 || i > 0 && n <= p.PCRs[i-1]
	}
	if bad {
		return fmt.Errorf("%w: policy of PCRs %v, %d bytes of values", ErrFormat, p.PCRs, len(p.Values))
	}
	return nil
}

func selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// A step is a policy command that can be computed without a TPM.
type step interface {
	Update(*tpm2.PolicyCalculator) error
}

func digest(steps ...step) ([]byte, error) {
	c, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if err := s.Update(c); err != nil {
			return nil, err
		}
	}
	return c.Hash().Digest, nil
}

// Digest returns the authPolicy of the keys: PolicyPCR, then PolicyAuthValue.
func (p *Policy) Digest() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	values := sha256.Sum256(p.Values)
	return digest(tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: values[:]}, Pcrs: selection(p.PCRs)}, tpm2.PolicyAuthValue{})
}

// satisfy runs the policy in a session.
func (p *Policy) satisfy(bus transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
	if _, err := (tpm2.PolicyPCR{PolicySession: s, Pcrs: selection(p.PCRs)}).Execute(bus); err != nil {
		return err
	}
	_, err := tpm2.PolicyAuthValue{PolicySession: s}.Execute(bus)
	return err
}

// template returns the public area of a new key: restricted to attestations, or
// not.
func template(restricted bool, policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, NoDA: true, SignEncrypt: true, Restricted: restricted},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		}),
	}
}

// CheckKeys returns an error unless the public areas are those of keys that obey
// p and nothing else.
func CheckKeys(ak, certifier *tpm2.TPMTPublic, p *Policy) error {
	want, err := p.Digest()
	if err != nil {
		return err
	}
	for _, k := range []struct {
		is         *tpm2.TPMTPublic
		restricted bool
	}{{ak, true}, {certifier, false}} {
		t := template(k.restricted, want)
		t.Unique = k.is.Unique
		if !bytes.Equal(tpm2.Marshal(t), tpm2.Marshal(*k.is)) {
			return fmt.Errorf("%w: a key with other attributes, another algorithm or another policy", ErrKey)
		}
	}
	return nil
}

// ErrKey is wrapped by the errors of keys that a site must not admit.
var ErrKey = errors.New("identity: key refused")

// Present returns the policy of PCRs as they are now.
func Present(bus transport.TPM, pcrs []uint) (*Policy, error) {
	p := &Policy{PCRs: slices.Clone(pcrs)}
	for _, n := range pcrs {
		r, err := tpm2.PCRRead{PCRSelectionIn: selection([]uint{n})}.Execute(bus)
		if err != nil {
			return nil, err
		}
		if len(r.PCRValues.Digests) != 1 || len(r.PCRValues.Digests[0].Buffer) != 32 {
			return nil, fmt.Errorf("identity: the TPM has no SHA-256 PCR %d", n)
		}
		p.Values = append(p.Values, r.PCRValues.Digests[0].Buffer...)
	}
	return p, p.check()
}
