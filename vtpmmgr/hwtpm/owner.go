package hwtpm

import (
	"bytes"
	"errors"

	"github.com/google/go-tpm/tpm2"
)

// Reasons why the hardware TPM refuses the owner's authorization, besides ErrOwner.
var (
	ErrOwnerNone = errors.New("hwtpm: ownerauth= is given, and the owner of the hardware TPM has no password: take the word away")
	ErrOwnerZero = errors.New("hwtpm: the owner's password has a zero byte before its end, and cannot be used: change it (tpm2_changeauth -c owner)")
)

// ownerError returns why the hardware TPM refuses the owner's authorization.
func (t *TPM) ownerError() error {
	if len(t.owner) == 0 {
		return ErrOwner
	}
	const ownerAuthSet = 1 // TPMA_PERMANENT (TPM 2.0 Part 2, 8.6), bit 0
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTPermanent), PropertyCount: 1}.Execute(t.bus)
	if err == nil {
		p, err := r.CapabilityData.Data.TPMProperties()
		if err == nil && len(p.TPMProperty) == 1 && p.TPMProperty[0].Value&ownerAuthSet == 0 {
			return ErrOwnerNone
		}
	}
	// go-tpm cuts an authorization value at its first zero byte; a TPM drops those at its
	// end only (Part 1, 19.6.4.3).
	if bytes.IndexByte(bytes.TrimRight(t.owner, "\x00"), 0) >= 0 {
		return ErrOwnerZero
	}
	return ErrOwner
}
