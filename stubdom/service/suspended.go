package service

import (
	"encoding/binary"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// A token names the image of a guest's memory that belongs to what is volatile in its TPM:
// random bytes that the image has too. Zeros name none.
type token [proto.TokenSize]byte

// A suspended is the state of a TPM that stopped in the midst of a guest's life, as it is
// sealed on the disk in a permanent state's place (docs/state-format.md, "Suspended state").
type suspended struct {
	restores  uint32 // how often old states of this vTPM were restored (proto.Grant.Epoch)
	permanent []byte
	volatile  []byte // what vtpm.Resume takes besides
	token     token
}

const (
	suspendedMagic   = 0x73545355 // "sTSU"
	suspendedVersion = 1
)

var errSuspended = errors.New("malformed suspended state")

// encode returns the encoding.
func (s *suspended) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, suspendedMagic)
	b = binary.BigEndian.AppendUint16(b, suspendedVersion)
	b = binary.BigEndian.AppendUint32(b, s.restores)
	for _, part := range [][]byte{s.permanent, s.volatile} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return append(b, s.token[:]...)
}

// parseSuspended decodes a suspended state. It returns nil for a state that has not its magic
// number: a permanent state.
func parseSuspended(b []byte) (*suspended, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != suspendedMagic {
		return nil, nil
	}
	if b = b[4:]; len(b) < 6 {
		return nil, errSuspended
	}
	if v := binary.BigEndian.Uint16(b); v != suspendedVersion {
		return nil, fmt.Errorf("suspended state of version %d, newest known %d", v, suspendedVersion)
	}
	s := &suspended{restores: binary.BigEndian.Uint32(b[2:])}
	b = b[6:]
	for _, part := range []*[]byte{&s.permanent, &s.volatile} {
		if len(b) < 4 {
			return nil, errSuspended
		}
		n := binary.BigEndian.Uint32(b)
		if b = b[4:]; uint64(n) > uint64(len(b)) {
			return nil, errSuspended
		}
		*part, b = b[:n], b[n:]
	}
	if len(b) != len(s.token) {
		return nil, errSuspended
	}
	s.token = token(b)
	return s, nil
}
