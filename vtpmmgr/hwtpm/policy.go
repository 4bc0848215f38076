package hwtpm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// policyRef binds the operator's signatures to this use of his key.
const policyRef = "stubtpm manager root"

// Policies are computed here and not by the TPM's trial sessions: an attacker on
// the bus could put another one in their place.

// step is one command's update of a policy's digest (Part 3: policyDigest_new
// is the hash of policyDigest_old, the command's code and its arguments).
func step(old [32]byte, cc tpm2.TPMCC, args ...[]byte) [32]byte {
	h := sha256.New()
	h.Write(old[:])
	binary.Write(h, binary.BigEndian, uint32(cc))
	for _, a := range args {
		h.Write(a)
	}
	return [32]byte(h.Sum(nil))
}

// named is what PolicySecret and PolicyAuthorize do (Part 3, PolicyUpdate): the
// name of an entity, then policyRef.
func named(old [32]byte, cc tpm2.TPMCC, name []byte, ref string) [32]byte {
	first := step(old, cc, name)
	return sha256.Sum256(append(first[:], ref...))
}

// pcrPolicy is TPM2_PolicyPCR of PCRs with these values, in their order.
func pcrPolicy(pcrs []uint, values []byte) [32]byte {
	digest := sha256.Sum256(values)
	return step([32]byte{}, tpm2.TPMCCPolicyPCR, tpm2.Marshal(selection(pcrs)), digest[:])
}

// An Approval is the operator's consent to other PCR values than those at which
// the root key was sealed: before a planned update of firmware or Xen.
type Approval struct {
	PCRs      []uint
	Policy    [32]byte // digest of TPM2_PolicyPCR
	Signature [64]byte // ECDSA P-256 with SHA-256, r and s
}

// Approve signs an approval of PCR values, which are one after the other in
// the order of their numbers. It needs no TPM.
func Approve(key *ecdsa.PrivateKey, pcrs []uint, values []byte) (*Approval, error) {
	if err := checkPCRs(pcrs); err != nil {
		return nil, err
	}
	if len(values) != 32*len(pcrs) || key.Curve != elliptic.P256() {
		return nil, errors.New("hwtpm: approve: 32 bytes for each PCR, and a key of P-256, are needed")
	}
	a := &Approval{PCRs: slices.Clone(pcrs), Policy: pcrPolicy(pcrs, values)}
	digest := a.digest()
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("hwtpm: approve: %w", err)
	}
	r.FillBytes(a.Signature[:32])
	s.FillBytes(a.Signature[32:])
	return a, nil
}

// NewApproval puts an approval together that came from elsewhere; Record.Approve
// checks it.
func NewApproval(mask uint32, policy [32]byte, signature [64]byte) (*Approval, error) {
	pcrs, err := unmask(mask)
	if err != nil {
		return nil, err
	}
	return &Approval{PCRs: pcrs, Policy: policy, Signature: signature}, nil
}

// Mask is a bit for each of the PCRs.
func (a *Approval) Mask() uint32 { return mask(a.PCRs) }

// IsOf returns nil if a is signed for these values of its PCRs, one after the
// other in the order of their numbers.
func (a *Approval) IsOf(values []byte) error {
	if err := checkPCRs(a.PCRs); err != nil {
		return err
	}
	if len(a.PCRs) == 0 || len(values) != 32*len(a.PCRs) {
		return fmt.Errorf("%w: %d bytes of values for PCRs %v", ErrApproval, len(values), a.PCRs)
	}
	if pcrPolicy(a.PCRs, values) != a.Policy {
		return fmt.Errorf("%w: it is not signed for these values of PCRs %v", ErrApproval, a.PCRs)
	}
	return nil
}

// digest is what is signed (Part 3, TPM2_PolicyAuthorize, aHash).
func (a *Approval) digest() [32]byte { return sha256.Sum256(append(a.Policy[:], policyRef...)) }

// verify checks the signature.
func (a *Approval) verify(operator []byte) error {
	key, err := parseOperator(operator)
	if err != nil {
		return err
	}
	digest := a.digest()
	if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(a.Signature[:32]), new(big.Int).SetBytes(a.Signature[32:])) {
		return ErrApproval
	}
	return checkPCRs(a.PCRs)
}

// SignedByOperator reports whether the operator of the record, if it has one,
// signed a message: ECDSA P-256 with SHA-256, r and s.
func (r *Record) SignedByOperator(message []byte, signature [64]byte) bool {
	key, err := parseOperator(r.operator)
	if err != nil {
		return false
	}
	digest := sha256.Sum256(message)
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// checkPCRs refuses a list that is not in order, or names what there is not.
func checkPCRs(pcrs []uint) error {
	for i, n := range pcrs {
		if n >= MaxPCR || i > 0 && pcrs[i-1] >= n {
			return fmt.Errorf("%w: PCRs %v: want numbers below %d, rising", ErrRecord, pcrs, MaxPCR)
		}
	}
	return nil
}

// operatorSize is the size in bytes of an operator's public key: 4, x, y.
const operatorSize = 65

func parseOperator(b []byte) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("%w: operator's key: %w", ErrRecord, err)
	}
	return key, nil
}

// operatorPublic is the TPM's view of the operator's key.
func operatorPublic(b []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{UserWithAuth: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: b[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: b[33:65]},
		}),
	}
}

// A sealing is the policy of the sealed root key: the PCRs as they were or, with
// an operator, PCRs that he approves.
type sealing struct {
	pcrs     []uint
	pcr      [32]byte // digest of the first branch
	operator []byte   // empty for none
}

// branches are the two digests of TPM2_PolicyOR.
func (p *sealing) branches() ([2][32]byte, error) {
	public := operatorPublic(p.operator)
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		return [2][32]byte{}, err
	}
	return [2][32]byte{p.pcr, named([32]byte{}, tpm2.TPMCCPolicyAuthorize, name.Buffer, policyRef)}, nil
}

// digest is the policy.
func (p *sealing) digest() ([32]byte, error) {
	if len(p.operator) == 0 {
		return p.pcr, nil
	}
	b, err := p.branches()
	if err != nil {
		return [32]byte{}, err
	}
	return step([32]byte{}, tpm2.TPMCCPolicyOR, b[0][:], b[1][:]), nil
}

// satisfy runs the policy in a session of the TPM: the first branch, or with an
// approval the second.
func (p *sealing) satisfy(approval *Approval) tpm2.PolicyCallback {
	return func(bus transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		pcrs := p.pcrs
		if approval != nil {
			pcrs = approval.PCRs
		}
		if _, err := (tpm2.PolicyPCR{PolicySession: s, Pcrs: selection(pcrs)}).Execute(bus); err != nil {
			return err
		}
		if approval != nil {
			if err := p.authorize(bus, s, approval); err != nil {
				return err
			}
		}
		if len(p.operator) == 0 {
			return nil
		}
		b, err := p.branches()
		if err != nil {
			return err
		}
		_, err = tpm2.PolicyOr{PolicySession: s, PHashList: tpm2.TPMLDigest{Digests: []tpm2.TPM2BDigest{
			{Buffer: b[0][:]}, {Buffer: b[1][:]},
		}}}.Execute(bus)
		return err
	}
}

// authorize has the TPM check the operator's signature and take it for the
// session's policy.
func (p *sealing) authorize(bus transport.TPM, s tpm2.TPMISHPolicy, a *Approval) error {
	key, ticket, err := verifyInTPM(bus, p.operator, a)
	if err != nil {
		return err
	}
	_, err = tpm2.PolicyAuthorize{
		PolicySession:  s,
		ApprovedPolicy: tpm2.TPM2BDigest{Buffer: a.Policy[:]},
		PolicyRef:      tpm2.TPM2BDigest{Buffer: []byte(policyRef)},
		KeySign:        key,
		CheckTicket:    ticket,
	}.Execute(bus)
	return err
}

// verifyInTPM has the TPM check the operator's signature. It returns the name of
// his key and the TPM's ticket.
func verifyInTPM(bus transport.TPM, operator []byte, a *Approval) (name tpm2.TPM2BName, ticket tpm2.TPMTTKVerified, err error) {
	key, err := tpm2.LoadExternal{InPublic: tpm2.New2B(operatorPublic(operator)), Hierarchy: tpm2.TPMRHOwner}.Execute(bus)
	if err != nil {
		return name, ticket, err
	}
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(bus)
	digest := a.digest()
	verified, err := tpm2.VerifySignature{
		KeyHandle: key.ObjectHandle,
		Digest:    tpm2.TPM2BDigest{Buffer: digest[:]},
		Signature: tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: a.Signature[:32]},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: a.Signature[32:]},
		})},
	}.Execute(bus)
	if err != nil {
		return name, ticket, err
	}
	return key.Name, verified.Validation, nil
}
