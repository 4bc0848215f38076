package nv

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// pairAttributes are those that both indices of a pair have which are in no NV memory:
// nobody deletes them, everybody reads them, and what they hold is lost with power.
const pairAttributes = tcg.TPMANVPlatformCreate | tcg.TPMANVPolicyDelete | tcg.TPMANVAuthRead | tcg.TPMANVOwnerRead | tcg.TPMANVPPRead |
	tcg.TPMANVNoDA | tcg.TPMANVOrderly | tcg.TPMANVClearSTClear

// NewAsk returns an index of size bytes that the owner and everybody may write. It
// holds data, or was not written if data is nil.
func NewAsk(h tcg.TPMHandle, size int, data []byte) *Index {
	x := newPaired(h, tcg.TPMANVAuthWrite|tcg.TPMANVOwnerWrite, size)
	x.fill(data)
	return x
}

// NewAnswer returns an index that holds data, and was not written if data is empty.
// Its policy, by which alone it could be written, is one that no session satisfies.
func NewAnswer(h tcg.TPMHandle, data []byte) *Index {
	x := newPaired(h, tcg.TPMANVPolicyWrite, len(data))
	x.fill(data)
	return x
}

func newPaired(h tcg.TPMHandle, write tcg.TPMANV, size int) *Index {
	return &Index{
		Public: tcg.TPMSNVPublic{NVIndex: h, NameAlg: tcg.TPMAlgSHA256, Attributes: pairAttributes | write, DataSize: uint16(size)},
		Data:   bytes.Repeat([]byte{0xFF}, size),
	}
}

// fill writes data at the beginning, if there is any.
func (x *Index) fill(data []byte) {
	if copy(x.Data, data) > 0 {
		x.SetAttributes(x.Public.Attributes | tcg.TPMANVWritten)
	}
}
