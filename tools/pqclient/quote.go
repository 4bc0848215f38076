package main

import (
	"bytes"
	"errors"
	"fmt"
)

// A quote is what TPM2_Quote gives, and the key that signed it.
type quote struct {
	key       []byte // encoded public key
	attest    []byte // TPMS_ATTEST, the message that is signed with an empty context
	signature []byte
}

// quoted has a restricted ML-DSA-65 key sign the SHA-256 PCRs 0 to 7 with a nonce.
func (s *story) quoted(nonce []byte) (quote, error) {
	const set = 2 // ML-DSA-65
	key, err := s.primary(public(algMLDSA, fixed|origin|ordinary|restricted|signs, mldsaParms(set, 0), nil))
	if err != nil {
		return quote{}, fmt.Errorf("attestation key: %w", err)
	}
	defer s.flush(key.handle)
	r, err := s.tpm.run(command{cc: ccQuote, handles: []int{key.handle}, auths: 1,
		params: cat(sized(nonce), u16(algNull), u32(1), u16(algSHA256), []byte{3, 0xFF, 0, 0})})
	if err != nil {
		return quote{}, err
	}
	q := quote{key: key.unique, attest: bytes.Clone(r.sized())}
	if q.signature, err = signed(r, algMLDSA); err != nil {
		return quote{}, err
	}
	f := &fields{b: q.attest}
	magic, typ := f.u32(), f.u16()
	f.sized()
	if extra := f.sized(); f.err != nil || magic != attestMagic || typ != stAttestQuote || !bytes.Equal(extra, nonce) {
		return quote{}, errors.New("the quote has another head or nonce")
	}
	return q, nil
}
