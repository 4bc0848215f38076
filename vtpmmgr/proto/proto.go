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

// MaxSize is the size in bytes of the largest message: what fits on a ring
// page.
const MaxSize = 4080

// An Ordinal names a request.
type Ordinal uint32

// Requests of a vTPM. The old manager's ordinals 1 to 4 are not reused.
const (
	Load   Ordinal = 0x53000001 // () -> Grant
	Commit Ordinal = 0x53000002 // State, flags 1 (or none) -> ()
	Random Ordinal = 0x53000003 // n 2 (at most MaxRandom) -> n bytes
	Guest  Ordinal = 0x53000004 // domain 2, 1 if it is served now -> 1 if its PCRs may be those of a start
)

// Requests that anybody in domain 0 may make.
const (
	Hello  Ordinal = 0x53000100 // () -> Greeting
	Status Ordinal = 0x53000104 // () -> lines of text, each a name, a blank, a value
)

// Orders, each signed (see Signed): by the administrator's key or, where a group
// has an approver, by that one for what is of the group.
const (
	Enroll      Ordinal = 0x53000201 // Enrollment -> ()
	Amend       Ordinal = 0x53000202 // Enrollment, of an enrolled vTPM, in its group -> ()
	Destroy     Ordinal = 0x53000203 // uuid 16 -> ()
	Suspend     Ordinal = 0x53000204 // uuid 16 -> ()
	Resume      Ordinal = 0x53000205 // uuid 16 -> ()
	List        Ordinal = 0x53000206 // first 4 -> count 4, then Entry each
	CreateGroup Ordinal = 0x53000207 // Group, its ID zero -> ID 4, escrow (or nothing)
	AmendGroup  Ordinal = 0x53000208 // Group -> (); all but its escrow key
	ImportGroup Ordinal = 0x53000209 // Group, its key sealed to the recovery key -> ()
	Groups      Ordinal = 0x5300020A // first 4 -> count 4, then Group each
	Backup      Ordinal = 0x5300020B // uuid 16 -> backup record
	Restore     Ordinal = 0x5300020C // backup record -> uuid 16, epoch 4
	Measured    Ordinal = 0x5300020D // domain 2, SHA-256 of its image 32 -> (); also signed by the host's key
	Audit       Ordinal = 0x5300020E // first 8 -> AuditHead, then entries with a length of 2 before each
	Approve     Ordinal = 0x5300020F // Approval -> ()
	SetKey      Ordinal = 0x53000210 // NewKey -> ()
	Recover     Ordinal = 0x53000211 // Recovery -> (); signed by the new administrator
	SetQuota    Ordinal = 0x53000212 // group 4, how many vTPMs it may have 4 -> ()
	Created     Ordinal = 0x53000214 // domain 2, uuid of its vTPM 16 -> (); also signed by the host's key
	SetGuard    Ordinal = 0x53000213 // kind 4, parameter 8 -> (); see ledger.Mode.Numbers
)

// A Code is the status of a response.
type Code uint32

// Statuses.
const (
	OK           Code = 0
	BadMessage   Code = 1  // malformed, or of a wrong size
	BadOrdinal   Code = 2  // unknown, or not this peer's to send
	NotEnrolled  Code = 3  // the manager does not know this vTPM
	Busy         Code = 4  // a vTPM of this uuid is connected already
	BadSequence  Code = 5  // not the successor of what was committed last
	Failed       Code = 6  // the manager's disk or TPM failed
	Exists       Code = 7  // enrolled already
	NotConnected Code = 8  // LOAD has to come first
	Unsigned     Code = 9  // the signature is not of a key that may give this order
	Suspended    Code = 10 // by an administrator
	WrongLabel   Code = 11 // the peer's security label is not one of its group's
	NotMeasured  Code = 12 // nobody told what image the peer's domain runs
	WrongImage   Code = 13 // the peer's domain runs another image
	NoGroup      Code = 14 // there is no such group
	BadBackup    Code = 15 // not of this manager's groups, or damaged
	Damaged      Code = 16 // this vTPM's record is damaged on the manager's disk
	Full         Code = 17 // no room on the manager's disk
	BadApproval  Code = 18 // of PCRs, or of a new administrator: not the operator's
	OverQuota    Code = 19 // the group has as many vTPMs as it may have
	Rate         Code = 20 // more than the vTPM's or the group's share of the hardware TPM: later
)

func (c Code) Error() string {
	names := [...]string{"ok", "bad message", "bad ordinal", "not enrolled", "uuid is in use by another domain",
		"bad sequence", "manager's disk or TPM failed", "exists already", "not loaded", "signature is of no key that may give this order",
		"suspended", "security label is not one of the group's", "domain's image was not measured", "domain runs another image than its record wants",
		"no such group", "backup is not of this manager's groups, or damaged", "record is damaged on the manager's disk", "manager's disk is full",
		"approval is not the operator's", "group has as many vTPMs as it may have", "more than its share of the hardware TPM: later"}
	if int(c) < len(names) {
		return "vtpmmgr: " + names[c]
	}
	return fmt.Sprintf("vtpmmgr: status %d", uint32(c))
}

// MaxRandom is how many bytes RANDOM returns at most.
const MaxRandom = 64

// KeySize and HashSize are in bytes: an XChaCha20-Poly1305 key, a SHA-256
// hash.
const (
	KeySize  = 32
	HashSize = 32
	SeedSize = 32
)

// Version is that of the protocol.
const Version = 3

// errMessage says that a message cannot be taken apart.
var errMessage = errors.New("vtpmmgr: malformed message")

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
