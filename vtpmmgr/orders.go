package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"maps"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// An orderSpec is one order of an administrator.
type orderSpec struct {
	// signers are those of whom any may give it.
	signers role

	// parse reads the arguments.
	parse func(args []byte) (request, error)

	// run carries it out. All that it may work on is in the order that it is
	// given, which authorize made.
	run func(o *order) (proto.Code, []byte)

	// enrolls is set where another group's vTPM is in its way.
	enrolls bool

	// reads is set where it changes nothing, and costs nothing of the hardware TPM.
	reads bool
}

// A role is in what right an order was signed.
type role uint8

const (
	administrator role = 1 << iota
	approver           // of the group that the order is about: its own key, or the administrator where it has none
	host               // who tells what dom0 measured
	newcomer           // an administrator-to-be, whom the operator's signature in the order admits
	anyApprover        // of any group: lists show each what is its own
)

// orders is the table of all orders.
func orders() map[proto.Ordinal]orderSpec {
	return map[proto.Ordinal]orderSpec{
		proto.Enroll:      {signers: approver, parse: parseEnrollment, run: (*order).enroll, enrolls: true},
		proto.Amend:       {signers: approver, parse: parseEnrollment, run: (*order).amend},
		proto.Destroy:     {signers: approver, parse: parseUUID, run: (*order).destroy},
		proto.Suspend:     {signers: approver | administrator, parse: parseUUID, run: (*order).suspend},
		proto.Resume:      {signers: approver | administrator, parse: parseUUID, run: (*order).resume},
		proto.Backup:      {signers: approver, parse: parseUUID, run: (*order).backup},
		proto.Restore:     {signers: approver, parse: parseRestore, run: (*order).restore},
		proto.CreateGroup: {signers: administrator, parse: parseNewGroup, run: (*order).createGroup},
		proto.ImportGroup: {signers: administrator, parse: parseNewGroup, run: (*order).importGroup},
		proto.AmendGroup:  {signers: approver, parse: parseAmendGroup, run: (*order).amendGroup},
		proto.SetQuota:    {signers: administrator, parse: parseQuota, run: (*order).setQuota},
		proto.List:        {signers: administrator | anyApprover, parse: parseFirst, run: (*order).list, reads: true},
		proto.Groups:      {signers: administrator | anyApprover, parse: parseFirst, run: (*order).listGroups, reads: true},
		proto.Measured:    {signers: administrator | host, parse: parseMeasured, run: (*order).measuredDomain},
		proto.Audit:       {signers: administrator, parse: parseAudit, run: (*order).auditLog, reads: true},
		proto.Approve:     {signers: administrator, parse: parseApproval, run: (*order).approve},
		proto.Created:     {signers: administrator | host, parse: parseCreated, run: (*order).createdGuest, reads: true},
		proto.SetGuard:    {signers: administrator, parse: parseGuard, run: (*order).setGuard},
		proto.SetKey:      {signers: administrator, parse: parseNewKey, run: (*order).setKey},
		proto.Recover:     {signers: newcomer, parse: parseRecovery, run: (*order).recoverAdmin},
	}
}

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
}

// order checks an order's signature, and runs it.
func (s *Session) order(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	switch o {
	case proto.Hello:
		return s.hello()
	case proto.Status:
		return proto.OK, []byte(s.m.status(s.peer))
	}
	spec, known := orders()[o]
	switch {
	case !known:
		return proto.BadOrdinal, nil
	case len(body) < ed25519.SignatureSize:
		return proto.BadMessage, nil
	case !s.greeted:
		return proto.Unsigned, nil
	}
	sig, args := body[:ed25519.SignatureSize], body[ed25519.SignatureSize:]
	message := proto.Signed(s.m.id, s.nonce, s.count, o, args)
	s.count++ // also of a bad one: each signature is for one place
	req, err := spec.parse(args)
	if err != nil {
		return proto.BadMessage, nil
	}
	code, answer := s.m.carryOut(spec, req, s.m.verifier(spec, message, sig))
	if code == proto.Unsigned {
		s.m.mu.Lock()
		s.m.refused[code]++
		s.m.mu.Unlock()
		s.m.cfg.Log("vtpmmgr: order %#x: %v", uint32(o), code)
	}
	return code, answer
}

// verifier returns a function that reports whether a key made the signature of a message.
// It verifies a key once. Where every group's key may have made it, it has verified them all
// before it is returned: nobody waits for that but whoever sent the message.
func (m *Manager) verifier(spec orderSpec, message, sig []byte) func(key [32]byte) bool {
	verified := map[[32]byte]bool{{}: false} // zeros are no key
	signed := func(key [32]byte) bool {
		is, known := verified[key]
		if !known {
			is = ed25519.Verify(key[:], message, sig)
			verified[key] = is
		}
		return is
	}
	if spec.signers&anyApprover == 0 {
		return signed
	}
	m.mu.Lock()
	keys := map[[32]byte]bool{m.config.admin: true}
	for _, g := range m.groups {
		keys[g.Approver] = true
	}
	m.mu.Unlock()
	for key := range keys {
		signed(key)
	}
	return signed
}

// carryOut authorizes an order and runs it: first without the turn of the vTPM
// that it is about, so that whoever may not give it holds up nobody, and then
// with it.
func (m *Manager) carryOut(spec orderSpec, req request, signed func(key [32]byte) bool) (proto.Code, []byte) {
	m.orders.Lock()
	defer m.orders.Unlock()
	o, code := m.authorize(spec, req, signed)
	if code == proto.OK && req.vtpm != nil {
		defer m.turns.take(*req.vtpm, true)()
		o, code = m.authorize(spec, req, signed)
	}
	if code != proto.OK {
		return code, nil
	}
	if !spec.reads && o.byTenant() && !m.mayOrder(o.group.ID) {
		return proto.Rate, nil
	}
	return spec.run(o)
}

// authorize returns the order, with what it is about, if somebody signed it who
// may give it. Who may not learns nothing but that.
func (m *Manager) authorize(spec orderSpec, req request, signed func(key [32]byte) bool) (*order, proto.Code) {
	o := &order{m: m, args: req.args}
	if req.vtpm != nil {
		o.uuid, o.damaged = *req.vtpm, m.damaged(*req.vtpm)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if req.vtpm != nil {
		o.record, o.known = m.records[o.uuid]
	}
	named := true
	switch {
	case o.known:
		o.group = m.groups[o.record.group]
		if req.group != nil && *req.group != o.record.group {
			// Who decides about the named group may be told that it is another.
			o.group, named = m.groups[*req.group], false
		}
	case req.group != nil:
		o.group = m.groups[*req.group]
		named = o.group != nil
	}
	if o.group == nil {
		// There is none, or its keys are lost, in both places: then the
		// administrator decides.
		o.group = &group{}
	}
	if o.by = m.signers(spec.signers, o, signed); o.by == 0 {
		return nil, proto.Unsigned
	}
	switch {
	case !named && o.known && spec.enrolls:
		return nil, proto.Exists // in another group
	case !named:
		return nil, proto.NoGroup
	}
	return o, proto.OK
}

// signers returns in which of the wanted roles an order is signed. m.mu is held.
func (m *Manager) signers(want role, o *order, signed func(key [32]byte) bool) (by role) {
	admin := signed(m.config.admin)
	if admin {
		by |= administrator
	}
	switch {
	case want&approver == 0:
	case o.group.Approver == [32]byte{} && admin, signed(o.group.Approver):
		by |= approver
	}
	if want&host != 0 && signed(m.config.host) {
		by |= host
	}
	if want&newcomer != 0 {
		if r, ok := o.args.(proto.Recovery); ok && signed(r.Key) && m.recoverable(r) {
			by |= newcomer
		}
	}
	o.sees = func(uint32) bool { return admin }
	if want&anyApprover != 0 && !admin {
		own := m.groupsOf(signed)
		o.sees = func(group uint32) bool { return own[group] }
		if len(own) != 0 {
			by |= anyApprover
		}
	}
	return by & want
}

// groupsOf returns the groups whose approver signed. m.mu is held.
func (m *Manager) groupsOf(signed func(key [32]byte) bool) map[uint32]bool {
	own := map[uint32]bool{}
	for id, g := range m.groups {
		if signed(g.Approver) {
			own[id] = true
		}
	}
	return own
}

// hello tells who this manager is, and a nonce for this connection.
func (s *Session) hello() (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	n, admin := m.config.counter, m.config.admin
	m.mu.Unlock()
	rand.Read(s.nonce[:])
	s.greeted, s.count = true, 0
	g := proto.Greeting{Version: proto.Version, Manager: m.id, Nonce: s.nonce, Recovery: [32]byte(m.keys.recovery.Public()),
		Audit: m.keys.auditPublic(), Admin: admin, Counter: n}
	return proto.OK, g.Append(nil)
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
// tells of it in the audit log.
func (o *order) change(event, detail string, to *record) proto.Code {
	changes, done := o.logged(o.uuid, event, detail, nil)
	code := o.m.set(o.class(), o.uuid, to, changes...)
	if code == proto.OK {
		done()
	}
	return code
}

// byTenant reports whether a group's approver gave the order, and not the
// administrator.
func (o *order) byTenant() bool { return o.by&administrator == 0 && o.group.Approver != [32]byte{} }

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
// audit logs will want.
func (o *order) roomFor(items int) bool {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.config.audit {
		items += m.config.audit[i].unused()
	}
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
