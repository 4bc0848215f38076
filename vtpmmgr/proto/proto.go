// Package proto is the protocol between a vTPM, or an administrator, and the
// vTPM manager: messages in the frame of a TPM command, over a tpmif ring.
//
// docs/manager-protocol.md has the table of messages. The package has no build
// tag and runs anywhere.
package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Tags of a message. A vTPM and an administrator use different ones, so that
// what a guest's TPM passes on can never be taken for an order.
const (
	TagRequest  uint16 = 0x01C1
	TagAdmin    uint16 = 0x01C2
	TagResponse uint16 = 0x01C4
)

// HeaderSize is the size in bytes of a message's header: tag (2), size of all
// of the message (4), ordinal or status (4), big-endian.
const HeaderSize = 10

// An Ordinal names a request.
type Ordinal uint32

// Requests of a vTPM. The old manager's ordinals 1 to 4 are not reused.
const (
	Load    Ordinal = 0x53000001 // () -> Grant
	Commit  Ordinal = 0x53000002 // sequence 8, hash 32, key 32 -> ()
	Random  Ordinal = 0x53000003 // n 2 -> n bytes
	PCRRead Ordinal = 0x53000004 // PCR 1 -> SHA-256 value, 32 bytes
)

// Requests of an administrator.
const (
	Enroll Ordinal = 0x53000101 // uuid 16 -> ()
	List   Ordinal = 0x53000102 // first 4 -> count 4, then Entry each
	Delete Ordinal = 0x53000103 // uuid 16 -> ()
	Status Ordinal = 0x53000104 // () -> text
)

// A Code is the status of a response.
type Code uint32

// Statuses.
const (
	OK           Code = 0
	BadMessage   Code = 1 // malformed, or of a wrong size
	BadOrdinal   Code = 2 // unknown, or not this peer's to send
	NotEnrolled  Code = 3 // the manager does not know this vTPM
	Busy         Code = 4 // a vTPM of this uuid is connected already
	BadSequence  Code = 5 // not the successor of what was committed last
	Failed       Code = 6 // the manager's disk or TPM failed; nothing was changed
	Exists       Code = 7 // enrolled already
	NotConnected Code = 8 // LOAD has to come first
	Damaged      Code = 9 // this vTPM's record cannot be read on the manager's disk
)

func (c Code) Error() string {
	names := [...]string{"ok", "bad message", "bad ordinal", "not enrolled", "uuid is in use by another domain",
		"bad sequence", "manager failed", "enrolled already", "not loaded", "record is damaged on the manager's disk"}
	if int(c) < len(names) {
		return "vtpmmgr: " + names[c]
	}
	return fmt.Sprintf("vtpmmgr: status %d", uint32(c))
}

// KeySize and HashSize are in bytes: an XChaCha20-Poly1305 key, a SHA-256
// hash.
const (
	KeySize  = 32
	HashSize = 32
	SeedSize = 32
)

// A Grant is what the manager gives a vTPM at its start.
type Grant struct {
	// Manufacture says that the vTPM was enrolled and has no state yet: it is
	// to make a new TPM. Otherwise Sequence, Hash and Key are of its state.
	Manufacture bool
	UUID        [16]byte // of this vTPM: its image carries it
	Sequence    uint64
	Hash        [HashSize]byte
	Key         [KeySize]byte
	Entropy     [SeedSize]byte // from the hardware TPM
}

const grantSize = 1 + 16 + 8 + HashSize + KeySize + SeedSize

// Append appends the wire form of g.
func (g *Grant) Append(b []byte) []byte {
	flag := byte(0)
	if g.Manufacture {
		flag = 1
	}
	b = append(append(b, flag), g.UUID[:]...)
	b = binary.BigEndian.AppendUint64(b, g.Sequence)
	b = append(b, g.Hash[:]...)
	b = append(b, g.Key[:]...)
	return append(b, g.Entropy[:]...)
}

// errMessage says that a message cannot be taken apart.
var errMessage = errors.New("vtpmmgr: malformed message")

func parseGrant(b []byte) (g Grant, err error) {
	if len(b) != grantSize || b[0] > 1 {
		return g, errMessage
	}
	g.Manufacture = b[0] == 1
	b = b[1:]
	b = b[copy(g.UUID[:], b):]
	g.Sequence = binary.BigEndian.Uint64(b)
	b = b[8:]
	b = b[copy(g.Hash[:], b):]
	b = b[copy(g.Key[:], b):]
	copy(g.Entropy[:], b)
	return g, nil
}

// An Entry is one line of the ledger, without its key.
type Entry struct {
	UUID      [16]byte
	Sequence  uint64
	State     bool // there is a state: it was manufactured
	Connected bool
}

// EntrySize is the size in bytes of an Entry.
const EntrySize = 16 + 8 + 1

// Append appends the wire form of e.
func (e *Entry) Append(b []byte) []byte {
	b = append(b, e.UUID[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Sequence)
	flags := byte(0)
	if e.State {
		flags |= 1
	}
	if e.Connected {
		flags |= 2
	}
	return append(b, flags)
}

func parseEntry(b []byte) (e Entry) {
	copy(e.UUID[:], b)
	e.Sequence = binary.BigEndian.Uint64(b[16:])
	e.State, e.Connected = b[24]&1 != 0, b[24]&2 != 0
	return e
}

// Message builds a request or, with TagResponse, a response.
func Message(tag uint16, code uint32, body []byte) []byte {
	b := make([]byte, 0, HeaderSize+len(body))
	b = binary.BigEndian.AppendUint16(b, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(HeaderSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}

// Parse takes a message apart. Its size has to be that of b.
func Parse(b []byte) (tag uint16, code uint32, body []byte, err error) {
	if len(b) < HeaderSize || uint64(binary.BigEndian.Uint32(b[2:])) != uint64(len(b)) {
		return 0, 0, nil, errMessage
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[6:]), b[HeaderSize:], nil
}
