package property

import (
	"crypto/sha256"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// maxRef is the size in bytes of the longest policyRef that every TPM takes: it is
// a TPM2B_NONCE, and a TPM with SHA-256 only has no larger one.
const maxRef = 32

func checkRef(ref []byte) error {
	if len(ref) == 0 || len(ref) > maxRef {
		return fmt.Errorf("property: a reference is a name of 1 to %d bytes", maxRef)
	}
	return nil
}

// Policy returns the digest of TPM2_PolicyAuthorize for what the key approves
// under a reference (TPM 2.0 Part 3, "TPM2_PolicyAuthorize"). Secrets are sealed
// to it.
func (k *Key) Policy(ref []byte) ([]byte, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	c, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	err = tpm2.PolicyAuthorize{KeySign: tpm2.TPM2BName{Buffer: k.name}, PolicyRef: tpm2.TPM2BDigest{Buffer: ref}}.Update(c)
	return c.Hash().Digest, err
}

// pcrPolicy returns the digest of TPM2_PolicyPCR for these PCRs.
func pcrPolicy(pcrs []PCR) ([]byte, error) {
	c, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	s, _ := selection(pcrs)
	digest := sha256.Sum256(values(pcrs))
	err = tpm2.PolicyPCR{Pcrs: s, PcrDigest: tpm2.TPM2BDigest{Buffer: digest[:]}}.Update(c)
	return c.Hash().Digest, err
}
