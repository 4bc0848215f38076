package ledger

import (
	"encoding/hex"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the size in bytes of the ledger's key.
const KeySize = chacha20poly1305.KeySize

// An ID names an item or a manager. The ID of an item is not zero.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }
