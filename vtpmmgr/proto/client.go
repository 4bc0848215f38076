package proto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A Client sends requests to a manager. Transact sends one message and returns the
// response. Orders need a Key; they call Hello first if necessary. A Client is not safe
// for concurrent use.
type Client struct {
	Transact func(message []byte) ([]byte, error)
	Key      ed25519.PrivateKey

	greeting *Greeting
	count    uint64
}

func (c *Client) do(tag uint16, o Ordinal, body []byte) ([]byte, error) {
	answer, err := c.Transact(Message(tag, uint32(o), body))
	if err != nil {
		return nil, err
	}
	t, code, body, err := Parse(answer)
	if err != nil {
		return nil, err
	}
	if t != TagResponse {
		return nil, fmt.Errorf("%w: tag %#x", errMessage, t)
	}
	switch Code(code) {
	case OK:
		return body, nil
	case MoveRefused:
		return nil, moveError(body)
	}
	return nil, Code(code)
}

// doEmpty is do for a request whose response has no body.
func (c *Client) doEmpty(tag uint16, o Ordinal, body []byte) error {
	b, err := c.do(tag, o, body)
	if err == nil && len(b) != 0 {
		err = errMessage
	}
	return err
}

// Load returns this vTPM's key and valid state.
func (c *Client) Load() (Grant, error) {
	b, err := c.do(TagRequest, Load, nil)
	if err != nil {
		return Grant{}, err
	}
	return parseGrant(b)
}

// Commit makes a state the valid one. When it returns nil the manager has stored that
// durably.
func (c *Client) Commit(s *State) error { return c.doEmpty(TagRequest, Commit, s.Append(nil)) }

// CommitIdle is Commit of a state in which only Clock changed, or failed authorization
// attempts expired.
func (c *Client) CommitIdle(s *State) error {
	return c.doEmpty(TagRequest, Commit, append(s.Append(nil), byte(Idle)))
}

// CommitUrgent is Commit of the state that takes the place of a suspended one.
func (c *Client) CommitUrgent(s *State) error {
	return c.doEmpty(TagRequest, Commit, append(s.Append(nil), byte(Urgent)))
}

// CommitFrozen is CommitUrgent of a suspended state on which nothing runs before another
// commit: the vTPM may be moved. A manager of an older version is not told so.
func (c *Client) CommitFrozen(s *State) error {
	err := c.doEmpty(TagRequest, Commit, append(s.Append(nil), byte(Frozen)))
	if errors.Is(err, BadMessage) {
		err = c.CommitUrgent(s)
	}
	return err
}

// Random returns n random bytes of the hardware TPM, up to MaxRandom.
func (c *Client) Random(n int) ([]byte, error) {
	b, err := c.do(TagRequest, Random, binary.BigEndian.AppendUint16(nil, uint16(n)))
	if err == nil && len(b) != n {
		return nil, errMessage
	}
	return b, err
}

// Guest returns what is known of the start of a domain that connects to this vTPM, which
// makes its TPM ready for that domain then. With served, Guest records that the domain has
// the TPM now: what the host reported of its start is then used up. The error is
// StartNotMeasured, WrongProgram or Damaged if the vTPM's record does not let the domain have
// the TPM.
func (c *Client) Guest(domain uint16, served bool) (Start, error) {
	b, err := c.do(TagRequest, Guest, append(binary.BigEndian.AppendUint16(nil, domain), flagBits(served)))
	if err != nil {
		return Start{}, err
	}
	return parseStart(b)
}

// Hello returns the manager's Greeting and begins a new count of orders.
func (c *Client) Hello() (Greeting, error) {
	b, err := c.do(TagAdmin, Hello, nil)
	if err != nil {
		return Greeting{}, err
	}
	g, err := parseGreeting(b)
	if err != nil {
		return g, err
	}
	if g.Version != Version {
		return g, fmt.Errorf("vtpmmgr: manager has protocol version %d, want %d", g.Version, Version)
	}
	c.greeting, c.count = &g, 0
	return g, nil
}

// Status returns the manager's status by name (docs/admin.md, "JSON").
func (c *Client) Status() (map[string]string, error) {
	b, err := c.do(TagAdmin, Status, nil)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		name, value, ok := strings.Cut(l, " ")
		if !ok {
			return nil, errMessage
		}
		m[name] = value
	}
	return m, nil
}

var errNoKey = errors.New("vtpmmgr: no key to sign the order with")

// order signs an order and sends it.
func (c *Client) order(o Ordinal, args []byte) ([]byte, error) {
	if len(c.Key) != ed25519.PrivateKeySize {
		return nil, errNoKey
	}
	if c.greeting == nil {
		if _, err := c.Hello(); err != nil {
			return nil, err
		}
	}
	sig := ed25519.Sign(c.Key, Signed(c.greeting.Manager, c.greeting.Nonce, c.count, o, args))
	c.count++
	return c.do(TagAdmin, o, append(sig, args...))
}

// orderEmpty is order for an order whose response has no body.
func (c *Client) orderEmpty(o Ordinal, args []byte) error {
	b, err := c.order(o, args)
	if err == nil && len(b) != 0 {
		err = errMessage
	}
	return err
}

// Enroll makes a vTPM known to the manager. The vTPM may then be manufactured.
func (c *Client) Enroll(e *Enrollment) error { return c.orderEmpty(Enroll, e.Append(nil)) }

// Destroy erases a vTPM's record and key: its state can never be opened again.
func (c *Client) Destroy(uuid UUID) error { return c.orderEmpty(Destroy, uuid[:]) }

// Suspend keeps a vTPM from connecting until Resume.
func (c *Client) Suspend(uuid UUID) error { return c.orderEmpty(Suspend, uuid[:]) }

// Resume ends a Suspend.
func (c *Client) Resume(uuid UUID) error { return c.orderEmpty(Resume, uuid[:]) }

// Amend changes the image, the name and the flags of an enrolled vTPM.
func (c *Client) Amend(e *Enrollment) error { return c.orderEmpty(Amend, e.Append(nil)) }

// CreateGroup makes a group and returns the ID that the manager chose. If the group has an
// escrow key, escrow is the group's key sealed to it.
func (c *Client) CreateGroup(g *Group) (id uint32, escrow []byte, err error) {
	b, err := c.order(CreateGroup, g.Append(nil))
	if err != nil {
		return 0, nil, err
	}
	r := reader{b: b}
	id = r.u32()
	if r.bad {
		return 0, nil, errMessage
	}
	return id, bytes.Clone(r.b), nil
}

// AmendGroup changes the name, the approver and the labels of a group.
func (c *Client) AmendGroup(g *Group) error { return c.orderEmpty(AmendGroup, g.Append(nil)) }

// ImportGroup makes a group with a key from escrow, sealed to the manager's recovery key.
func (c *Client) ImportGroup(g *Group, sealed []byte) error {
	return c.orderEmpty(ImportGroup, append(g.Append(nil), sealed...))
}

// Backup returns a record that opens the vTPM's current state: with a copy of its disk it
// can be restored. The vTPM must not be connected.
func (c *Client) Backup(uuid UUID) ([]byte, error) { return c.order(Backup, uuid[:]) }

// Restore makes the state of a backup the valid one, in a new epoch of the vTPM.
func (c *Client) Restore(backup []byte) (uuid UUID, epoch uint32, err error) {
	b, err := c.order(Restore, backup)
	if err != nil {
		return uuid, 0, err
	}
	r := reader{b: b}
	uuid, epoch = UUID(r.take(16)), r.u32()
	return uuid, epoch, r.done()
}

// SetKey replaces the administrator's or the host's key by key. The client's key must be
// the current administrator's.
func (c *Client) SetKey(role KeyRole, key ed25519.PrivateKey) error {
	if c.greeting == nil {
		if _, err := c.Hello(); err != nil {
			return err
		}
	}
	k := NewKey{Role: role, Key: [32]byte(key.Public().(ed25519.PublicKey))}
	k.Proof = [64]byte(ed25519.Sign(key, SignedProof(c.greeting.Manager, role, k.Key)))
	return c.orderEmpty(SetKey, k.Append(nil))
}

// Recover makes the client's key the administrator's, authorized by the operator's
// signature of SignedRecovery.
func (c *Client) Recover(signature [64]byte) error {
	if len(c.Key) != ed25519.PrivateKeySize {
		return errNoKey
	}
	r := Recovery{Key: [32]byte(c.Key.Public().(ed25519.PublicKey)), Signature: signature}
	return c.orderEmpty(Recover, r.Append(nil))
}

// SetQuota limits the number of vTPMs of a group; zero is no limit.
func (c *Client) SetQuota(group, most uint32) error {
	b := binary.BigEndian.AppendUint32(nil, group)
	return c.orderEmpty(SetQuota, binary.BigEndian.AppendUint32(b, most))
}

// Measured reports the hash of the program in a domain that has not run yet.
func (c *Client) Measured(domain uint16, image [32]byte) error {
	return c.orderEmpty(Measured, append(binary.BigEndian.AppendUint16(nil, domain), image[:]...))
}

// Created reports that a guest's domain with the given vTPM was created and has not run
// yet.
func (c *Client) Created(domain uint16, vtpm UUID) error {
	return c.orderEmpty(Created, (&Creation{Domain: domain, VTPM: vtpm}).Append(nil))
}

// Restored reports that a guest's domain with the given vTPM was restored from an image that
// has the token, and has not run yet.
func (c *Client) Restored(domain uint16, vtpm UUID, token [TokenSize]byte) error {
	return c.orderEmpty(Restored, (&Restoration{Domain: domain, VTPM: vtpm, Token: token}).Append(nil))
}

// CreatedMeasured is Created of a domain whose program the caller found in its memory, and
// will measure into its TPM before it runs.
func (c *Client) CreatedMeasured(domain uint16, vtpm UUID, p Program) error {
	return c.orderEmpty(Created, (&Creation{Domain: domain, VTPM: vtpm, Program: &p}).Append(nil))
}

// SetGuard sets the rollback protection mode, which may be weaker than the current one.
// The numbers are those of ledger.Mode.Numbers.
func (c *Client) SetGuard(kind uint32, parameter uint64) error {
	b := binary.BigEndian.AppendUint32(nil, kind)
	return c.orderEmpty(SetGuard, binary.BigEndian.AppendUint64(b, parameter))
}

// Approve sends the operator's approval of other PCR values.
func (c *Client) Approve(a *Approval) error { return c.orderEmpty(Approve, a.Append(nil)) }

// listMax limits the length of a list: more than a ledger has room for.
const listMax = 1 << 16

// fetchAll collects a list that comes in parts. Each response is the length of the whole
// list (4) and entries from the requested one on.
func (c *Client) fetchAll(o Ordinal, parse func(r *reader)) error {
	for have := uint32(0); ; {
		b, err := c.order(o, binary.BigEndian.AppendUint32(nil, have))
		if err != nil {
			return err
		}
		r := reader{b: b}
		total, before := r.u32(), have
		if total > listMax {
			return errMessage
		}
		for !r.bad && len(r.b) > 0 {
			parse(&r)
			have++
		}
		if err := r.done(); err != nil {
			return err
		}
		if have >= total {
			return nil
		}
		if have == before {
			return errMessage // no progress
		}
	}
}

// List returns the vTPMs that the signer may see.
func (c *Client) List() (list []Entry, err error) {
	err = c.fetchAll(List, func(r *reader) { list = append(list, r.entry()) })
	return list, err
}

// Starts returns how the guests of the vTPMs that the signer may see were started.
func (c *Client) Starts() (list []GuestStart, err error) {
	err = c.fetchAll(Starts, func(r *reader) { list = append(list, r.guestStart()) })
	return list, err
}

// Groups returns the groups that the signer may see.
func (c *Client) Groups() (list []Group, err error) {
	err = c.fetchAll(Groups, func(r *reader) { list = append(list, r.group()) })
	return list, err
}

// Audit returns the available entries of an audit log from number first on, and its end,
// signed for a fresh nonce.
func (c *Client) Audit(log AuditLog, first uint64) (h AuditHead, entries [][]byte, err error) {
	var nonce [32]byte
	rand.Read(nonce[:])
	for {
		args := append(binary.BigEndian.AppendUint64(nil, first), nonce[:]...)
		if log != ManagerLog {
			args = append(args, byte(log))
		}
		b, err := c.order(Audit, args)
		if err != nil {
			return h, nil, err
		}
		var part [][]byte
		if h, part, err = ParseAudit(b); err != nil {
			return h, nil, err
		}
		h.Log = log
		if h.Nonce != nonce {
			return h, nil, fmt.Errorf("%w: its end is signed for another nonce", ErrAudit)
		}
		if len(part) == 0 {
			return h, entries, nil
		}
		for _, p := range part {
			e, err := ParseAuditEntry(p)
			if err != nil || e.Number < first {
				return h, nil, errMessage
			}
			first = e.Number + 1
			entries = append(entries, bytes.Clone(p))
		}
	}
}
