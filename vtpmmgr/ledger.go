package vtpmmgr

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stubtpm/vtpmmgr/proto"
)

// A UUID names a vTPM.
type UUID [16]byte

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// ParseUUID takes the usual 36 characters, or 32 without dashes.
func ParseUUID(s string) (u UUID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, fmt.Errorf("vtpmmgr: %q is not a UUID", s)
	}
	return UUID(b), nil
}

// An entry is what the manager knows of one vTPM.
type entry struct {
	// sequence is zero until the vTPM was manufactured and committed its
	// first state.
	sequence uint64
	hash     [proto.HashSize]byte
	key      [proto.KeySize]byte
}

// A ledger is what the manager keeps of all its vTPMs.
type ledger map[UUID]entry

const (
	ledgerVersion = 1
	entrySize     = 16 + 8 + proto.HashSize + proto.KeySize
	maxEntries    = 10000 // what fits into a state of the slot package
)

var errLedger = errors.New("vtpmmgr: ledger is malformed")

// encode writes the ledger: version, count, then the entries by uuid.
func (l ledger) encode() []byte {
	b := make([]byte, 0, 6+len(l)*entrySize)
	b = binary.BigEndian.AppendUint16(b, ledgerVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
	for _, u := range l.uuids() {
		e := l[u]
		b = append(b, u[:]...)
		b = binary.BigEndian.AppendUint64(b, e.sequence)
		b = append(b, e.hash[:]...)
		b = append(b, e.key[:]...)
	}
	return b
}

// uuids returns the ledger's vTPMs in a fixed order.
func (l ledger) uuids() []UUID {
	return slices.SortedFunc(maps.Keys(l), func(a, b UUID) int { return bytes.Compare(a[:], b[:]) })
}

func decodeLedger(b []byte) (ledger, error) {
	if len(b) < 6 {
		return nil, errLedger
	}
	if v := binary.BigEndian.Uint16(b); v != ledgerVersion {
		return nil, fmt.Errorf("%w: version %d, known is %d", errLedger, v, ledgerVersion)
	}
	n := binary.BigEndian.Uint32(b[2:])
	b = b[6:]
	if n > maxEntries || uint64(len(b)) != uint64(n)*entrySize {
		return nil, errLedger
	}
	l := make(ledger, n)
	for ; len(b) > 0; b = b[entrySize:] {
		var e entry
		u := UUID(b[:16])
		e.sequence = binary.BigEndian.Uint64(b[16:])
		copy(e.hash[:], b[24:])
		copy(e.key[:], b[24+proto.HashSize:])
		if _, twice := l[u]; twice {
			return nil, errLedger
		}
		l[u] = e
	}
	return l, nil
}
