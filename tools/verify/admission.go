package verify

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// Quoted verifies a quote, in its wire form, by the key with a Name and over
// qualifyingData. It must be over these PCRs of the SHA-256 bank, below 24 and in
// order, and over no other; Quoted returns their values, 32 bytes each.
func Quoted(quote, name []byte, qualifyingData evidence.Hash, pcrs []uint) (values []byte, err error) {
	q, err := hardwareLayer().verifyQuote(quote, name, qualifyingData)
	if err != nil {
		return nil, err
	}
	if len(q.pcrs) != len(pcrs) {
		return nil, fmt.Errorf("verify: %d PCRs were quoted, not %d", len(q.pcrs), len(pcrs))
	}
	for i, p := range q.pcrs {
		if p.Bank != 0x000B || uint(p.Index) != pcrs[i] {
			return nil, fmt.Errorf("verify: PCR %s:%d was quoted, not sha256:%d", banks[p.Bank], p.Index, pcrs[i])
		}
		values = append(values, p.Digest...)
	}
	return values, nil
}

// Certified verifies that TPM2_Certify made attest and signature for an object by
// the key ak, both TPMT_PUBLIC, over qualifyingData.
func Certified(ak, attest, signature, object []byte, qualifyingData evidence.Hash) error {
	public, key, err := cert.ParsePublic(ak)
	if err != nil {
		return err
	}
	if !cert.IsAK(public) {
		return errors.New("verify: that key could sign what is no attestation")
	}
	if _, err := checkSignature(key, attest, signature); err != nil {
		return fmt.Errorf("verify: signature: %w", err)
	}
	a, err := parseAttest(attest, tpm2.TPMSTAttestCertify, qualifyingData)
	if err != nil {
		return fmt.Errorf("verify: attestation: %w", err)
	}
	info, err := a.Attested.Certify()
	if err != nil {
		return fmt.Errorf("verify: attestation: %w", err)
	}
	of, _, err := cert.ParsePublic(object)
	if err != nil {
		return err
	}
	name, err := tpm2.ObjectName(of)
	if err != nil {
		return err
	}
	if !bytes.Equal(info.Name.Buffer, name.Buffer) {
		return fmt.Errorf("verify: certified is %x, not %x", info.Name.Buffer, name.Buffer)
	}
	return nil
}
