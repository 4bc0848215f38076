package evidence

import (
	"crypto/sha256"
	"encoding/binary"
)

// HardwareNonce returns the qualifyingData of the hardware TPM's quote: it ties
// the quote to a tree of a manager.
func HardwareNonce(manager [16]byte, size uint32, root Hash) Hash {
	b := append([]byte("stubtpm hardware quote 1\x00"), manager[:]...)
	b = binary.BigEndian.AppendUint32(b, size)
	return sha256.Sum256(append(b, root[:]...))
}

// GuestNonce returns the qualifyingData of the guest's quote: it ties the quote
// to the statement, in which the verifier's nonce is, and to the TPMS_ATTEST of
// the hardware TPM's quote.
func GuestNonce(statement, hardwareAttest []byte) Hash {
	leaf, attest := Leaf(statement), sha256.Sum256(hardwareAttest)
	b := append([]byte("stubtpm guest quote 1\x00"), leaf[:]...)
	return sha256.Sum256(append(b, attest[:]...))
}
