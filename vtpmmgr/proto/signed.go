package proto

import (
	"encoding/binary"
	mathbits "math/bits"
)

// Signed returns what is signed for an order: the manager, the connection's nonce, the
// number of earlier orders on the connection, the order and its arguments.
func Signed(manager [16]byte, nonce [32]byte, count uint64, o Ordinal, args []byte) []byte {
	b := []byte("stubtpm order\x00")
	b = append(b, manager[:]...)
	b = append(b, nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = binary.BigEndian.AppendUint32(b, uint32(o))
	return append(b, args...)
}

// SignedRestore returns what the administrator signs to make a manager open an old copy of
// its disk. It names the manager and the value of its hardware counter, so that it is
// valid once.
func SignedRestore(manager [16]byte, counter uint64) []byte {
	b := append([]byte("stubtpm restore\x00"), manager[:]...)
	return binary.BigEndian.AppendUint64(b, counter)
}

// SignedMove returns what the administrator signs to make a manager move to new NV
// indices. It names the manager and the challenge in its error.
func SignedMove(manager [16]byte, challenge [32]byte) []byte {
	b := append([]byte("stubtpm move\x00"), manager[:]...)
	return append(b, challenge[:]...)
}

// An Approval is the operator's approval of other PCR values; see hwtpm.Approval.
type Approval struct {
	Mask      uint32
	Policy    [32]byte
	Signature [64]byte
	Values    []byte // of the PCRs, 32 bytes each, in ascending order of PCR
}

// Append appends the encoding.
func (a *Approval) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, a.Mask)
	b = append(b, a.Policy[:]...)
	b = append(b, a.Signature[:]...)
	return append(b, a.Values...)
}

// ParseApproval decodes an Approval.
func ParseApproval(b []byte) (a Approval, err error) {
	r := reader{b: b}
	a.Mask = r.u32()
	a.Policy = [32]byte(r.take(32))
	a.Signature = [64]byte(r.take(64))
	a.Values = append([]byte(nil), r.take(32*mathbits.OnesCount32(a.Mask))...)
	return a, r.done()
}
