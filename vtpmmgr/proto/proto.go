package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Tags of a message. A vTPM and an administrator use different tags, so that bytes
// that a vTPM passes on for its guest can never be an order.
const (
	TagRequest  uint16 = 0x01C1
	TagAdmin    uint16 = 0x01C2
	TagResponse uint16 = 0x01C4
)

// HeaderSize is the size in bytes of a message's header: tag (2), size of the whole
// message (4), ordinal or status (4), big-endian.
const HeaderSize = 10

// MaxSize is the size in bytes of the largest message, which fits into a ring page.
const MaxSize = 4080

// An Ordinal names a request.
type Ordinal uint32

// Requests of a vTPM. Ordinals 1 to 4 are those of an older manager and are not
// reused.
const (
	Load   Ordinal = 0x53000001 // () -> Grant
	Commit Ordinal = 0x53000002 // State, flags 1 (or none) -> ()
	Random Ordinal = 0x53000003 // n 2, up to MaxRandom -> n bytes
	Guest  Ordinal = 0x53000004 // domain 2, served 1 -> Start 1; see Client.Guest

	// Certify has 1 to MaxEKs endorsement keys certified; see Client.Certify.
	Certify Ordinal = 0x53000005 // count 1, TPMT_PUBLICs -> count 1, certificates; each after its length 2

	// Attest makes evidence; see Client.Attest.
	Attest Ordinal = 0x53000006 // evidence.Ask -> evidence.Evidence of statement, proof and hardware quote

	CertifyKey Ordinal = 0x53000008 // TPMT_PUBLIC of an attestation key -> its certificate in DER

	Chain Ordinal = 0x53000009 // offset 4 -> size of the list 4, and from offset on: count 1, certificates, each after its length 2

	Certified Ordinal = 0x53000007 // () -> 1 byte: 1 if the vTPM's certificates are what they would be now
)

// Requests that need no signature, from dom0 only.
const (
	Hello  Ordinal = 0x53000100 // () -> Greeting
	Status Ordinal = 0x53000104 // () -> lines of text: name, space, value
)

// Requests of the couriers of moves (docs/moves.md), which need no signature either: the
// messages have their own.
const (
	MovePut Ordinal = 0x53000110 // offset 4, part of a message -> ()
	Move    Ordinal = 0x53000111 // MoveStep 1, uuid 16 -> size of the answer 4, the answer from its beginning on
	MoveGet Ordinal = 0x53000112 // offset 4 -> size of the answer 4, the answer from the offset on
)

// Orders. Each is signed (see Signed) by the administrator or, if it is about a group
// with an approver, by the approver.
const (
	Enroll      Ordinal = 0x53000201 // Enrollment -> ()
	Amend       Ordinal = 0x53000202 // Enrollment of an enrolled vTPM -> ()
	Destroy     Ordinal = 0x53000203 // uuid 16 -> ()
	Suspend     Ordinal = 0x53000204 // uuid 16 -> ()
	Resume      Ordinal = 0x53000205 // uuid 16 -> ()
	List        Ordinal = 0x53000206 // first 4 -> count 4, then Entry each
	CreateGroup Ordinal = 0x53000207 // Group with ID zero -> ID 4, escrow (may be empty)
	AmendGroup  Ordinal = 0x53000208 // Group -> (); the escrow key cannot change
	ImportGroup Ordinal = 0x53000209 // Group, group key sealed to the recovery key -> ()
	Groups      Ordinal = 0x5300020A // first 4 -> count 4, then Group each
	Backup      Ordinal = 0x5300020B // uuid 16 -> backup record
	Restore     Ordinal = 0x5300020C // backup record -> uuid 16, epoch 4
	Measured    Ordinal = 0x5300020D // domain 2, SHA-256 of its image 32 -> (); also signed by the host's key
	Audit       Ordinal = 0x5300020E // first 8, nonce 32, AuditLog 1 (or none) -> AuditHead, then entries, each after its length 2
	Approve     Ordinal = 0x5300020F // Approval -> ()
	SetKey      Ordinal = 0x53000210 // NewKey -> ()
	Recover     Ordinal = 0x53000211 // Recovery -> (); signed by the new administrator
	SetQuota    Ordinal = 0x53000212 // group 4, largest number of vTPMs 4 -> ()
	Created     Ordinal = 0x53000214 // domain 2, uuid of its vTPM 16, Program (or none) -> (); also signed by the host's key
	Restored    Ordinal = 0x5300021A // domain 2, uuid of its vTPM 16, token 32 -> (); also signed by the host's key
	Starts      Ordinal = 0x53000219 // first 4 -> count 4, then GuestStart each
	SetGuard    Ordinal = 0x53000213 // kind 4, parameter 8 -> (); see ledger.Mode.Numbers
)

// Orders about moves.
const (
	SetTargets Ordinal = 0x53000220 // uuid 16, transfer.Rules -> ()
	Transfers  Ordinal = 0x53000221 // first 4 -> count 4, then Transfer each
	Targets    Ordinal = 0x53000222 // uuid 16 -> transfer.Rules
)

// Orders about the host's identity, in the wire forms of package identity.
const (
	IdentityRequest     Ordinal = 0x53000215 // SHA-256 of the manager's image 32, its security version 4 -> identity.Request
	IdentityAnswer      Ordinal = 0x53000216 // identity.Challenge -> identity.Answer
	IdentityCertificate Ordinal = 0x53000217 // count 1, certificates, each after its length 2 -> ()
	RevocationList      Ordinal = 0x53000218 // offset 4 -> size of the whole list 4, DER from offset on
)

// A Code is the status of a response.
type Code uint32

// Status codes.
const (
	OK           Code = 0
	BadMessage   Code = 1  // malformed or of the wrong size
	BadOrdinal   Code = 2  // unknown, or not allowed for this peer
	NotEnrolled  Code = 3  // the vTPM is unknown to this manager
	Busy         Code = 4  // a domain with this UUID is connected already
	BadSequence  Code = 5  // not the successor of the last commit
	Failed       Code = 6  // the manager's disk or TPM failed
	Exists       Code = 7  // already enrolled
	NotConnected Code = 8  // the domain must Load first
	Unsigned     Code = 9  // not signed by a key that may give this order
	Suspended    Code = 10 // suspended by an order
	WrongLabel   Code = 11 // the peer's security label is not allowed for its group
	NotMeasured  Code = 12 // the peer's domain was not measured
	WrongImage   Code = 13 // the peer's domain was measured with another image
	NoGroup      Code = 14 // unknown group
	BadBackup    Code = 15 // damaged, or of a group that this manager does not have
	Damaged      Code = 16 // the vTPM's record on the manager's disk is damaged
	Full         Code = 17 // no room on the manager's disk
	BadApproval  Code = 18 // of PCRs or a new administrator: not signed by the operator
	OverQuota    Code = 19 // the group's quota of vTPMs is used up
	Rate         Code = 20 // above the rate limit of the vTPM or the group: retry later

	BadCertificate Code = 21 // or challenge: not for the keys of this manager; or key: not one to certify
	NoIdentity     Code = 22 // the host has no identity, or the vTPM no certificates

	StartNotMeasured Code = 23 // the guest's start was not measured, and the vTPM's record requires that
	WrongProgram     Code = 24 // the guest starts a program that the vTPM's record does not list

	Moving      Code = 25 // the vTPM is being moved, or is at another manager
	MoveRefused Code = 26 // a step of a move is refused; see MoveError
)

func (c Code) Error() string {
	names := [...]string{"ok", "bad message", "bad ordinal", "not enrolled", "uuid is in use by another domain",
		"bad sequence", "manager's disk or TPM failed", "already exists", "not loaded", "not signed by a key that may give this order",
		"suspended", "security label is not allowed for the group", "domain's image was not measured", "domain runs another image than its record names",
		"no such group", "backup is damaged, or of a group that this manager does not have", "record is damaged on the manager's disk", "manager's disk is full",
		"approval is not signed by the operator", "group's quota of vTPMs is used up", "above its share of the hardware TPM, retry later",
		"challenge or certificate is not for the keys of this manager", "host has no identity, or vTPM no certificates",
		"guest's start was not measured, as the vTPM's record requires", "guest starts a program that the vTPM's record does not list",
		"vTPM is being moved, or is at another manager", "step of the move is refused"}
	if int(c) < len(names) {
		return "vtpmmgr: " + names[c]
	}
	return fmt.Sprintf("vtpmmgr: status %d", uint32(c))
}

// MaxRandom is the largest number of bytes that Random returns.
const MaxRandom = 64

// Sizes in bytes of an XChaCha20-Poly1305 key, of a SHA-256 hash, and of a seed for a
// random number generator.
const (
	KeySize  = 32
	HashSize = 32
	SeedSize = 32
)

// Version is the version of the protocol.
const Version = 3

// errMessage means that a message cannot be decoded.
var errMessage = errors.New("vtpmmgr: malformed message")

// Message returns a request or, with TagResponse, a response.
func Message(tag uint16, code uint32, body []byte) []byte {
	b := make([]byte, 0, HeaderSize+len(body))
	b = binary.BigEndian.AppendUint16(b, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(HeaderSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}

// Parse splits a message. Its size field must be len(b).
func Parse(b []byte) (tag uint16, code uint32, body []byte, err error) {
	if len(b) < HeaderSize || uint64(binary.BigEndian.Uint32(b[2:])) != uint64(len(b)) {
		return 0, 0, nil, errMessage
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[6:]), b[HeaderSize:], nil
}
