package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/rand"

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

// orders is the table of all orders.
func orders() map[proto.Ordinal]orderSpec {
	return map[proto.Ordinal]orderSpec{
		proto.Enroll:              {signers: approver, parse: parseEnrollment, run: (*order).enroll, enrolls: true},
		proto.Amend:               {signers: approver, parse: parseEnrollment, run: (*order).amend},
		proto.Destroy:             {signers: approver, parse: parseUUID, run: (*order).destroy},
		proto.Suspend:             {signers: approver | administrator, parse: parseUUID, run: (*order).suspend},
		proto.Resume:              {signers: approver | administrator, parse: parseUUID, run: (*order).resume},
		proto.Backup:              {signers: approver, parse: parseUUID, run: (*order).backup},
		proto.Restore:             {signers: approver, parse: parseRestore, run: (*order).restore},
		proto.CreateGroup:         {signers: administrator, parse: parseNewGroup, run: (*order).createGroup},
		proto.ImportGroup:         {signers: administrator, parse: parseNewGroup, run: (*order).importGroup},
		proto.AmendGroup:          {signers: approver, parse: parseAmendGroup, run: (*order).amendGroup},
		proto.SetQuota:            {signers: administrator, parse: parseQuota, run: (*order).setQuota},
		proto.List:                {signers: administrator | anyApprover, parse: parseFirst, run: (*order).list, reads: true},
		proto.Groups:              {signers: administrator | anyApprover, parse: parseFirst, run: (*order).listGroups, reads: true},
		proto.Measured:            {signers: administrator | host, parse: parseMeasured, run: (*order).measuredDomain},
		proto.Audit:               {signers: administrator, parse: parseAudit, run: (*order).auditLog, reads: true},
		proto.Approve:             {signers: administrator, parse: parseApproval, run: (*order).approve},
		proto.Created:             {signers: administrator | host, parse: parseCreated, run: (*order).createdGuest, reads: true},
		proto.Restored:            {signers: administrator | host, parse: parseRestored, run: (*order).restoredGuest, reads: true},
		proto.Starts:              {signers: administrator | anyApprover, parse: parseFirst, run: (*order).starts, reads: true},
		proto.SetTargets:          {signers: approver, parse: parseTargets, run: (*order).setTargets},
		proto.Targets:             {signers: approver | administrator, parse: parseUUID, run: (*order).targets, reads: true},
		proto.Transfers:           {signers: administrator | anyApprover, parse: parseFirst, run: (*order).transfers, reads: true},
		proto.SetGuard:            {signers: administrator, parse: parseGuard, run: (*order).setGuard},
		proto.SetKey:              {signers: administrator, parse: parseNewKey, run: (*order).setKey},
		proto.IdentityRequest:     {signers: administrator, parse: parseManagerImage, run: (*order).identityRequest},
		proto.IdentityAnswer:      {signers: administrator, parse: parseChallenge, run: (*order).identityAnswer},
		proto.IdentityCertificate: {signers: administrator, parse: parseCertificates, run: (*order).identityCertificate},
		proto.RevocationList:      {signers: administrator, parse: parseFirst, run: (*order).revocationList},
		proto.Recover:             {signers: newcomer, parse: parseRecovery, run: (*order).recoverAdmin},
	}
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
	code, answer := s.carryOut(spec, req, s.m.verifier(spec, message, sig))
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
func (s *Session) carryOut(spec orderSpec, req request, signed func(key [32]byte) bool) (proto.Code, []byte) {
	m := s.m
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
	o.session = s
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
		// No such group, or its keys are lost, in both places: then the
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
