package vtpmmgr

import (
	"fmt"
	"maps"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A role is in what right an order was signed.
type role uint8

const (
	administrator role = 1 << iota
	approver           // of the group that the order is about: its own key, or the administrator where it has none
	host               // who tells what dom0 measured
	newcomer           // an administrator-to-be, whom the operator's signature in the order admits
	anyApprover        // of any group: lists show each what is its own
)

// A request is what the arguments of an order say: what it is about, and the
// rest.
type request struct {
	vtpm  *UUID
	group *uint32 // a group, or the one that a vTPM is said to be of
	args  any     // of the type that the order's parser returns
}

// An order is an order of which authorize has found that whoever signed it may
// give it.
type order struct {
	m    *Manager
	args any
	by   role

	// The vTPM that it is about, if it is about one. Its turn is the order's,
	// so that the record stays as it is.
	uuid    UUID
	known   bool
	record  record // if known; of group
	damaged bool   // its record cannot be read

	// The group that it is about: of the record, or named. It has no key and
	// no name if its own item cannot be read.
	group *group

	sees func(group uint32) bool // whether a list shows what is of a group

	guest bool // a vTPM asked for it, and nobody signed

	session *Session // on which it came; nil with guest
}

// logged returns the changes that write an entry of the audit log, with the
// configuration changed by edit (nil for nothing), and what to do once they are
// committed.
func (o *order) logged(u UUID, event, detail string, edit func(c *config)) (changes []ledger.Change, done func()) {
	detail = proto.Visible(detail) // a name that an earlier version took need not be printable
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	log, who := proto.ManagerLog, "vtpmmgr: "
	if o.byTenant() {
		// A limited log counts lines by their format: no tenant may use up another's.
		log, who = proto.TenantLog, fmt.Sprintf("vtpmmgr: group %08x: ", o.group.ID)
	}
	c, entry := m.config.entry(log, u, event, detail)
	if edit != nil {
		edit(&c)
	}
	changes = append(c.changes(), entry)
	return changes, func() {
		m.mu.Lock()
		m.config = c
		m.mu.Unlock()
		m.cfg.Log(who+event+" %v %s", u, detail)
	}
}

// commit commits changes and an entry of the audit log that tells of them.
func (o *order) commit(event, detail string, edit func(c *config), changes ...ledger.Change) proto.Code {
	own, done := o.logged(UUID{}, event, detail, edit)
	code := o.m.commit(o.class(), append(own, changes...)...)
	if code == proto.OK {
		done()
	}
	return code
}

// change makes the record of the order's vTPM another, or with nil none, and
// tells of it in the audit log. Other changes are in the same commit.
func (o *order) change(event, detail string, to *record, with ...ledger.Change) proto.Code {
	changes, done := o.logged(o.uuid, event, detail, nil)
	code := o.m.set(o.class(), o.uuid, to, append(changes, with...)...)
	if code == proto.OK {
		done()
	}
	return code
}

// byTenant reports whether a group's approver gave the order, and not the administrator,
// or a vTPM asked.
func (o *order) byTenant() bool {
	return o.guest || o.by&administrator == 0 && o.group.Approver != [32]byte{}
}

// class is that of an order's commit. What a tenant orders has a share of the
// hardware TPM's writes, as its vTPMs have; what the administrator orders about
// them does not wait for that share.
func (o *order) class() ledger.Class {
	c := ledger.Class{Urgency: ledger.Urgent}
	if o.byTenant() {
		c.Source, c.Tenant = o.group.tenant(), o.group.tenant()
	}
	return c
}

// roomFor reports whether there is room for so many items besides those that the
// audit logs and the revocation of all certificates will want.
func (o *order) roomFor(items int) bool {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.config.audit {
		items += m.config.audit[i].unused()
	}
	items += m.revocationRoom()
	return m.store.Room() >= items
}

// named returns the group of a name, or nil.
func (o *order) named(name string) *group {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	for g := range maps.Values(o.m.groups) {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// hex8 is the beginning of a key or a hash, as the audit log shows it.
func hex8(b [32]byte) string { return fmt.Sprintf("%x", b[:8]) }
