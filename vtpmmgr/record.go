package vtpmmgr

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A record is what the manager knows of one vTPM: an item of its ledger.
type record struct {
	uuid UUID

	// sequence is zero until the vTPM was manufactured and committed its
	// first state.
	sequence uint64
	hash     [proto.HashSize]byte
	key      [proto.KeySize]byte
}

// Kinds of item, and the version of what is in one.
const (
	kindVTPM    = 1
	kindManager = 2

	itemVersion = 1
)

// Offsets in a record's item.
const (
	recordUUID     = 2 // 16 bytes; kind and version are before it
	recordSequence = 18
	recordHash     = 26
	recordKey      = 58
	recordSize     = 90
)

var errItem = errors.New("vtpmmgr: item of the ledger is malformed")

// itemID is where an item is kept: names of different kinds cannot meet.
func itemID(kind byte, name []byte) ledger.ID {
	sum := sha256.Sum256(append([]byte{kind}, name...))
	return ledger.ID(sum[:16])
}

func (u UUID) item() ledger.ID { return itemID(kindVTPM, u[:]) }

func (r *record) change() ledger.Change {
	b := make([]byte, recordSize)
	b[0], b[1] = kindVTPM, itemVersion
	copy(b[recordUUID:], r.uuid[:])
	binary.BigEndian.PutUint64(b[recordSequence:], r.sequence)
	copy(b[recordHash:], r.hash[:])
	copy(b[recordKey:], r.key[:])
	return ledger.Change{ID: r.uuid.item(), Body: b}
}

func decodeRecord(b []byte) (record, error) {
	if len(b) != recordSize || b[0] != kindVTPM || b[1] != itemVersion {
		return record{}, errItem
	}
	r := record{uuid: UUID(b[recordUUID:]), sequence: binary.BigEndian.Uint64(b[recordSequence:])}
	copy(r.hash[:], b[recordHash:])
	copy(r.key[:], b[recordKey:])
	return r, nil
}

// counterItems have the value of the hardware TPM's counter at the last start:
// two of them, so that no one place holds what every start needs.
var counterItems = [2]ledger.ID{itemID(kindManager, []byte("counter")), itemID(kindManager, []byte("counter, again"))}

func counterChanges(n uint64) (changes []ledger.Change) {
	for _, id := range counterItems {
		changes = append(changes, ledger.Change{ID: id, Body: encodeCounter(n)})
	}
	return changes
}

func encodeCounter(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindManager, itemVersion}, n)
}

func decodeCounter(b []byte) (uint64, error) {
	if len(b) != 10 || b[0] != kindManager || b[1] != itemVersion {
		return 0, errItem
	}
	return binary.BigEndian.Uint64(b[2:]), nil
}
