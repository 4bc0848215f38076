package hwtpm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// nvExtend is TPM2_NV_Extend (Part 3, 31.9), which go-tpm 0.9.8 does not have.
func (t *TPM) nvExtend(index tpm2.NamedHandle, data []byte, s tpm2.Session) error {
	const tagSessions, headerSize = 0x8002, 10
	if err := s.NewNonceCaller(); err != nil {
		return err
	}
	parms := tpm2.Marshal(tpm2.TPM2BMaxNVBuffer{Buffer: data})
	names := []tpm2.TPM2BName{index.Name, index.Name}
	auth, err := s.Authorize(tpm2.TPMCCNVExtend, parms, nil, names, 0)
	if err != nil {
		return err
	}
	area := tpm2.Marshal(auth)
	b := binary.BigEndian.AppendUint16(nil, tagSessions)
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+4+4+4+len(area)+len(parms)))
	b = binary.BigEndian.AppendUint32(b, uint32(tpm2.TPMCCNVExtend))
	b = binary.BigEndian.AppendUint32(b, uint32(index.Handle))
	b = binary.BigEndian.AppendUint32(b, uint32(index.Handle))
	b = binary.BigEndian.AppendUint32(b, uint32(len(area)))
	b = append(append(b, area...), parms...)

	r, err := t.bus.Send(b)
	if err != nil {
		return err
	}
	if len(r) < headerSize || uint64(binary.BigEndian.Uint32(r[2:])) != uint64(len(r)) {
		return errors.New("TPM2_NV_Extend: malformed response")
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(r[6:])); rc != tpm2.TPMRCSuccess {
		return fmt.Errorf("TPM2_NV_Extend: %w", rc)
	}
	r = r[headerSize:]
	if len(r) < 4 || binary.BigEndian.Uint32(r) != 0 {
		return errors.New("TPM2_NV_Extend: malformed response")
	}
	answer, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](r[4:])
	if err != nil {
		return fmt.Errorf("TPM2_NV_Extend: %w", err)
	}
	return s.Validate(tpm2.TPMRCSuccess, tpm2.TPMCCNVExtend, nil, names, 0, answer)
}
