package vtpmmgr

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// measurement is what dom0 tells of a domain that did not run yet.
type measurement struct {
	domain uint16
	image  [32]byte
}

func parseMeasured(args []byte) (request, error) {
	if len(args) != 2+32 || [32]byte(args[2:]) == [32]byte{} { // zeros are no measurement
		return request{}, proto.BadMessage
	}
	return request{args: measurement{binary.BigEndian.Uint16(args), [32]byte(args[2:])}}, nil
}

func parseApproval(args []byte) (request, error) {
	p, err := proto.ParseApproval(args)
	return request{args: p}, err
}

func parseNewKey(args []byte) (request, error) {
	k, err := proto.ParseNewKey(args)
	return request{args: k}, err
}

func parseRecovery(args []byte) (request, error) {
	r, err := proto.ParseRecovery(args)
	return request{args: r}, err
}

func parseGuard(args []byte) (request, error) {
	if len(args) != 4+8 {
		return request{}, proto.BadMessage
	}
	mode, ok := ledger.ModeOf(binary.BigEndian.Uint32(args), binary.BigEndian.Uint64(args[4:]))
	if !ok || mode.Check() != nil {
		return request{}, proto.BadMessage
	}
	return request{args: mode}, nil
}

// auditQuestion is from which entry on which audit log is wanted, and for which
// nonce its end is to be signed.
type auditQuestion struct {
	log   proto.AuditLog
	first uint64
	nonce [32]byte
}

func parseAudit(args []byte) (request, error) {
	log := proto.ManagerLog
	if len(args) == 8+32+1 {
		log = proto.AuditLog(args[8+32])
		args = args[:8+32]
	}
	if len(args) != 8+32 || log > proto.TenantLog {
		return request{}, proto.BadMessage
	}
	return request{args: auditQuestion{log, binary.BigEndian.Uint64(args), [32]byte(args[8:])}}, nil
}

// approve takes the operator's approval of other PCRs. The audit log tells of it
// before it counts.
func (o *order) approve() (proto.Code, []byte) {
	p, m := o.args.(proto.Approval), o.m
	a, err := hwtpm.NewApproval(p.Mask, p.Policy, p.Signature)
	if err == nil && slices.Contains(a.PCRs, m.tpm.ChainPCR()) {
		err = fmt.Errorf("%w: PCR %d changes with each commit", hwtpm.ErrApproval, m.tpm.ChainPCR())
	}
	var next *hwtpm.Record
	if err == nil {
		next, err = m.approved(a, p.Values)
	}
	switch {
	case errors.Is(err, hwtpm.ErrApproval) || errors.Is(err, hwtpm.ErrRecord):
		m.cfg.Log("vtpmmgr: %v", err)
		return proto.BadApproval, nil
	case err != nil:
		m.cfg.Log("vtpmmgr: approval: %v", err)
		return proto.Failed, nil
	}
	if code := o.commit("approve", fmt.Sprintf("PCRs %v, policy %x", a.PCRs, a.Policy[:8]), nil); code != proto.OK {
		return code, nil
	}
	if err := m.writeRoot(next); err != nil {
		m.cfg.Log("vtpmmgr: approval: %v", err)
		return proto.Failed, nil
	}
	return proto.OK, nil
}

// approved returns the root record with an approval, which it checks, also in the TPM.
func (m *Manager) approved(a *hwtpm.Approval, values []byte) (*hwtpm.Record, error) {
	// What this start opened by must not be an approval that a new one pushes out.
	if err := m.reseal(); err != nil {
		return nil, err
	}
	next, err := m.root.Approve(a, values)
	if err != nil {
		return nil, err
	}
	return next, m.tpm.CheckApproval(next, a)
}

// writeRoot makes the root record another one, on the disk and in memory.
func (m *Manager) writeRoot(next *hwtpm.Record) error {
	if err := m.copies.Write(next); err != nil {
		return err
	}
	m.root = next
	return nil
}

// reseal makes the seal to the present PCRs the first one, if it is not, and makes it
// if there is only the operator's approval of them.
func (m *Manager) reseal() error {
	next, err := m.tpm.Reseal(m.root)
	if err != nil || next == nil {
		return err
	}
	if err := m.writeRoot(next); err != nil {
		return err
	}
	m.tpm.Resealed()
	m.cfg.Log("vtpmmgr: the root key is sealed to the PCRs as they are now first, and to those of the systems that ran before")
	return nil
}

// setGuard changes how commits are tied to the hardware TPM. The entry of the audit
// log is committed in the mode before.
func (o *order) setGuard() (proto.Code, []byte) {
	mode := o.args.(ledger.Mode)
	was := o.m.store.Mode()
	event := "guard"
	if mode.WeakerThan(was) {
		event = "weaker guard"
	}
	if code := o.commit(event, fmt.Sprintf("%v, was %v", mode, was), nil); code != proto.OK {
		return code, nil
	}
	if err := o.m.store.Weaken(mode); err != nil {
		o.m.cfg.Log("vtpmmgr: guard: %v", err)
		return proto.Failed, nil
	}
	return proto.OK, nil
}

func (o *order) auditLog() (proto.Code, []byte) {
	q := o.args.(auditQuestion)
	return proto.OK, o.m.auditLog(q.log, q.first, q.nonce)
}

// setKey replaces the administrator's or the host's key.
func (o *order) setKey() (proto.Code, []byte) {
	k := o.args.(proto.NewKey)
	if !ed25519.Verify(k.Key[:], proto.SignedProof(o.m.id, k.Role, k.Key), k.Proof[:]) {
		return proto.Unsigned, nil
	}
	if k.Role == proto.HostKey {
		return o.commit("host key", hex8(k.Key), func(c *config) { c.host = k.Key }), nil
	}
	return o.commit("administrator key", hex8(k.Key), func(c *config) { c.setAdmin(k.Key) }), nil
}

func (c *config) setAdmin(key [32]byte) {
	c.admin = key
	c.adminNumber++
}

// recoverable reports whether the operator signed a change of the
// administrator's key from the present one, in this place of it. m.mu is held.
func (m *Manager) recoverable(r proto.Recovery) bool {
	return m.root.SignedByOperator(proto.SignedRecovery(m.id, m.config.admin, m.config.adminNumber, r.Key), r.Signature)
}

func (o *order) recoverAdmin() (proto.Code, []byte) {
	r := o.args.(proto.Recovery)
	return o.commit("administrator recovered", hex8(r.Key), func(c *config) { c.setAdmin(r.Key) }), nil
}
