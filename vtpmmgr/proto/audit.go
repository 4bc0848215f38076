package proto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// An AuditLog is one of a manager's two audit logs.
type AuditLog uint8

// The audit logs. What groups' approvers order is in a log of its own, so that it pushes
// no entry out of the other one.
const (
	ManagerLog AuditLog = 0 // starts, and what the administrator ordered
	TenantLog  AuditLog = 1
)

func (l AuditLog) String() string {
	if l == TenantLog {
		return "tenants"
	}
	return "manager"
}

// An AuditHead is the end of an audit log, signed on request.
type AuditHead struct {
	Log       AuditLog // not in the encoding: whoever asks knows it
	Manager   [16]byte
	Nonce     [32]byte // of the request, so that an old head cannot answer a new one
	Time      int64    // seconds since 1970, by Xen's clock
	Next      uint64   // number of the next entry
	Hash      [32]byte // of the last entry
	Signature [64]byte // Ed25519
}

// SignedHead returns what is signed.
func (h *AuditHead) SignedHead() []byte {
	purpose := "stubtpm audit head 2\x00"
	if h.Log == TenantLog {
		purpose = "stubtpm audit head of tenants\x00"
	}
	b := append([]byte(purpose), h.Manager[:]...)
	b = append(b, h.Nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time))
	b = binary.BigEndian.AppendUint64(b, h.Next)
	return append(b, h.Hash[:]...)
}

// Append appends the encoding.
func (h *AuditHead) Append(b []byte) []byte {
	b = append(b, h.Manager[:]...)
	b = append(b, h.Nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time))
	b = binary.BigEndian.AppendUint64(b, h.Next)
	b = append(b, h.Hash[:]...)
	return append(b, h.Signature[:]...)
}

// ParseAudit decodes the response to Audit of the manager's log.
func ParseAudit(b []byte) (h AuditHead, entries [][]byte, err error) {
	r := reader{b: b}
	h.Manager = [16]byte(r.take(16))
	h.Nonce = [32]byte(r.take(32))
	h.Time = int64(r.u64())
	h.Next = r.u64()
	h.Hash = [32]byte(r.take(32))
	h.Signature = [64]byte(r.take(64))
	for !r.bad && len(r.b) > 0 {
		n := int(r.u16())
		if n > len(r.b) {
			return h, nil, errMessage
		}
		entries = append(entries, bytes.Clone(r.take(n)))
	}
	return h, entries, r.done()
}

// An AuditEntry records one order that was carried out.
type AuditEntry struct {
	Number   uint64
	Time     int64    // seconds since 1970, by Xen's clock
	Previous [32]byte // hash of the entry before; zeros for the first
	UUID     UUID     // of the vTPM; zeros for none
	Event    string   // up to MaxName bytes
	Detail   string   // up to 2*MaxName bytes
}

// Append appends the encoding, which is also what is hashed.
func (e *AuditEntry) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, e.Number)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	b = append(b, e.Previous[:]...)
	b = append(b, e.UUID[:]...)
	b = appendText(b, e.Event)
	return appendText(b, e.Detail)
}

// ParseAuditEntry decodes an AuditEntry.
func ParseAuditEntry(b []byte) (e AuditEntry, err error) {
	r := reader{b: b}
	e.Number, e.Time = r.u64(), int64(r.u64())
	e.Previous = [32]byte(r.take(32))
	e.UUID = UUID(r.take(16))
	e.Event, e.Detail = r.text(), r.text()
	return e, r.done()
}

// ErrAudit means that an audit log is not one that its manager signed.
var ErrAudit = errors.New("vtpmmgr: audit log")

// VerifyAudit verifies that entries are a chain without a gap that ends at the head, and
// that the head is signed by key. It shows nothing about what came before the first entry.
func VerifyAudit(key ed25519.PublicKey, h *AuditHead, entries [][]byte) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, h.SignedHead(), h.Signature[:]) {
		return fmt.Errorf("%w: its end is not signed by this manager's key", ErrAudit)
	}
	var last [32]byte
	for i, b := range entries {
		e, err := ParseAuditEntry(b)
		if err != nil {
			return fmt.Errorf("%w: the entry at index %d is malformed", ErrAudit, i)
		}
		first := h.Next - uint64(len(entries))
		if e.Number != first+uint64(i) {
			return fmt.Errorf("%w: found entry %d, want %d", ErrAudit, e.Number, first+uint64(i))
		}
		if (i > 0 || e.Number == 0) && e.Previous != last {
			return fmt.Errorf("%w: entry %d does not have the hash of the one before it", ErrAudit, e.Number)
		}
		last = sha256.Sum256(b)
	}
	if len(entries) > 0 && last != h.Hash || len(entries) == 0 && h.Next != 0 {
		return fmt.Errorf("%w: its last entry is not the signed one", ErrAudit)
	}
	return nil
}
