package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// An order is a signed request of an administrator.
type order struct {
	*Manager
	args []byte

	// signed says whether a key signed the order.
	signed func(key [32]byte) bool
}

// order runs what an administrator asks.
func (s *Session) order(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	m := s.m
	switch o {
	case proto.Hello:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return s.hello()
	case proto.Status:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return proto.OK, []byte(m.status(s.peer))
	}
	run, known := map[proto.Ordinal]func(*order) (proto.Code, []byte){
		proto.Enroll: (*order).enroll, proto.Amend: (*order).amend, proto.Destroy: (*order).destroy,
		proto.Suspend: (*order).suspend, proto.Resume: (*order).resume, proto.List: (*order).list,
		proto.CreateGroup: (*order).createGroup, proto.AmendGroup: (*order).amendGroup, proto.ImportGroup: (*order).importGroup,
		proto.Groups: (*order).listGroups, proto.Backup: (*order).backup, proto.Restore: (*order).restore,
		proto.Measured: (*order).measuredDomain, proto.Audit: (*order).auditLog, proto.Approve: (*order).approve,
	}[o]
	switch {
	case !known:
		return proto.BadOrdinal, nil
	case len(body) < ed25519.SignatureSize:
		return proto.BadMessage, nil
	case !s.greeted:
		return proto.Unsigned, nil
	}
	sig, args := body[:ed25519.SignatureSize], body[ed25519.SignatureSize:]
	message := proto.Signed(m.id, s.nonce, s.count, o, args)
	s.count++ // also of a bad one: each signature is for one place
	m.orders.Lock()
	defer m.orders.Unlock()
	code, answer := run(&order{Manager: m, args: args, signed: func(key [32]byte) bool {
		return key != [32]byte{} && ed25519.Verify(key[:], message, sig)
	}})
	if code == proto.Unsigned {
		m.mu.Lock()
		m.refused[code]++
		m.mu.Unlock()
		m.cfg.Log("vtpmmgr: order %#x: %v", uint32(o), code)
	}
	return code, answer
}

// hello tells who this manager is, and a nonce for this connection.
func (s *Session) hello() (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	n := m.config.counter // it moves only at a start
	m.mu.Unlock()
	rand.Read(s.nonce[:])
	s.greeted, s.count = true, 0
	g := proto.Greeting{Version: proto.Version, Manager: m.id, Nonce: s.nonce, Recovery: [32]byte(m.keys.recovery.Public()),
		Audit: m.keys.auditPublic(), Counter: n}
	return proto.OK, g.Append(nil)
}

// byAdmin says whether the administrator signed.
func (o *order) byAdmin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.signed(o.config.admin)
}

// byGroup says whether who decides about a group's vTPMs signed.
func (o *order) byGroup(g *group) bool {
	if g.Approver != [32]byte{} {
		return o.signed(g.Approver)
	}
	return o.byAdmin()
}

// logged returns the changes that write an entry of the audit log, and what to
// do once they are committed.
func (o *order) logged(u UUID, event, detail string) (changes []ledger.Change, done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, entry := o.config.entry(u, event, detail)
	changes = append(c.changes(), ledger.Change{ID: o.config.auditItem(o.config.next), Body: auditBody(entry)})
	return changes, func() {
		o.mu.Lock()
		o.config.next, o.config.hash = c.next, c.hash
		o.mu.Unlock()
		o.cfg.Log("vtpmmgr: %s %v %s", event, u, detail)
	}
}

// change changes a record, and says so in the audit log.
func (o *order) change(event, detail string, u UUID, from, to *record) proto.Code {
	changes, done := o.logged(u, event, detail)
	code := o.set(u, from, to, changes...)
	if code == proto.OK {
		done()
	}
	return code
}

// roomFor says whether there is room for another item besides those that the
// audit log will want.
func (o *order) roomFor(items int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.store.Room()-items >= int(max(0, int64(o.config.ring)-int64(min(o.config.next, uint64(o.config.ring)))))
}

// enrolment reads an enrolment and checks who signed it.
func (o *order) enrolment() (e proto.Enrolment, g *group, code proto.Code) {
	e, err := proto.ParseEnrolment(o.args)
	if err != nil {
		return e, nil, proto.BadMessage
	}
	if g = o.group(e.Group); g == nil {
		return e, nil, proto.NoGroup
	}
	if !o.byGroup(g) {
		return e, nil, proto.Unsigned
	}
	return e, g, proto.OK
}

func (o *order) enroll() (proto.Code, []byte) {
	e, g, code := o.enrolment()
	if code != proto.OK {
		return code, nil
	}
	if _, known := o.record(e.UUID); known {
		return proto.Exists, nil
	}
	if o.damaged(e.UUID) {
		return proto.Damaged, nil
	}
	if !o.roomFor(1) {
		return proto.Full, nil
	}
	r := record{uuid: e.UUID, group: e.Group, ledger: o.store.Epoch(), replace: e.Replace, saved: time.Now().Unix(), image: e.Image, name: e.Name}
	rand.Read(r.salt[:])
	return o.change("enroll", "group "+g.Name, e.UUID, nil, &r), nil
}

func (o *order) amend() (proto.Code, []byte) {
	e, _, code := o.enrolment()
	if code != proto.OK {
		return code, nil
	}
	from, known := o.record(e.UUID)
	switch {
	case !known:
		return proto.NotEnrolled, nil
	case from.group != e.Group:
		return proto.NoGroup, nil
	}
	to := from
	to.replace, to.image, to.name = e.Replace, e.Image, e.Name
	return o.change("amend", fmt.Sprintf("image %x", e.Image[:8]), e.UUID, &from, &to), nil
}

// known reads a uuid, and checks who signed the order.
func (o *order) known() (r record, g *group, code proto.Code) {
	if len(o.args) != 16 {
		return r, nil, proto.BadMessage
	}
	r, ok := o.record(UUID(o.args))
	if !ok {
		if !o.byAdmin() {
			return r, nil, proto.Unsigned
		}
		return r, nil, proto.NotEnrolled
	}
	if g = o.group(r.group); g == nil {
		// Its keys are lost, in both places: there is nothing to decide about.
		g = &group{}
	}
	if !o.byGroup(g) {
		return r, nil, proto.Unsigned
	}
	return r, g, proto.OK
}

func (o *order) destroy() (proto.Code, []byte) {
	r, _, code := o.known()
	from := &r
	if code == proto.NotEnrolled && o.damaged(UUID(o.args)) {
		from, code = nil, proto.OK
	}
	if code != proto.OK {
		return code, nil
	}
	u := UUID(o.args)
	if code = o.change("destroy", "", u, from, nil); code == proto.OK {
		o.mu.Lock()
		if c := o.connected[u]; c != nil {
			c.loaded = false // what it loaded is not of a later enrolment
		}
		o.mu.Unlock()
	}
	return code, nil
}

func (o *order) suspend() (proto.Code, []byte) { return o.setSuspended("suspend", true), nil }
func (o *order) resume() (proto.Code, []byte)  { return o.setSuspended("resume", false), nil }

func (o *order) setSuspended(event string, suspended bool) proto.Code {
	from, _, code := o.known()
	if code != proto.OK {
		return code
	}
	to := from
	to.suspended = suspended
	return o.change(event, "", from.uuid, &from, &to)
}

// setGroup writes a group, and says so in the audit log.
func (o *order) setGroup(event string, g *group) proto.Code {
	changes, done := o.logged(UUID{}, event, fmt.Sprintf("%s, %08x", g.Name, g.ID))
	code := o.commit(append(changes, g.changes(o.keys.groups)...)...)
	if code == proto.OK {
		o.mu.Lock()
		o.groups[g.ID] = g
		o.mu.Unlock()
		done()
	}
	return code
}

// newGroup reads a group that is to be made.
func (o *order) newGroup() (g *group, rest []byte, code proto.Code) {
	p, rest, err := proto.ParseGroup(o.args)
	switch {
	case err != nil || p.Name == "":
		return nil, nil, proto.BadMessage
	case !o.byAdmin():
		return nil, nil, proto.Unsigned
	case o.named(p.Name) != nil:
		return nil, nil, proto.Exists
	case !o.roomFor(2):
		return nil, nil, proto.Full
	}
	return &group{Group: p}, rest, proto.OK
}

// named returns the group of a name, or nil.
func (o *order) named(name string) *group {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, g := range o.groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

func (o *order) createGroup() (proto.Code, []byte) {
	g, rest, code := o.newGroup()
	if code != proto.OK {
		return code, nil
	}
	if len(rest) != 0 || g.ID != 0 {
		return proto.BadMessage, nil
	}
	// At random, so that a group that moves to another manager keeps its number.
	for g.ID == 0 || o.group(g.ID) != nil {
		var b [4]byte
		rand.Read(b[:])
		g.ID = binary.BigEndian.Uint32(b[:])
	}
	rand.Read(g.key[:])
	answer := groupName(g.ID)
	if len(g.Escrow) != 0 {
		sealed, err := escrow.Seal(g.Escrow, g.ID, g.key[:])
		if err != nil {
			return proto.BadMessage, nil
		}
		answer = append(answer, sealed...)
	}
	return o.setGroup("create group", g), answer
}

func (o *order) importGroup() (proto.Code, []byte) {
	g, rest, code := o.newGroup()
	if code != proto.OK {
		return code, nil
	}
	if o.group(g.ID) != nil {
		return proto.Exists, nil
	}
	// Zero is every manager's own; and it was in escrow, so it stays so.
	if g.ID == 0 || len(g.Escrow) == 0 {
		return proto.BadMessage, nil
	}
	key, err := o.keys.recovery.Open(g.ID, rest)
	if err != nil {
		return proto.BadBackup, nil
	}
	copy(g.key[:], key)
	clear(key)
	return o.setGroup("import group", g), nil
}

func (o *order) amendGroup() (proto.Code, []byte) {
	p, rest, err := proto.ParseGroup(o.args)
	if err != nil || len(rest) != 0 || p.Name == "" {
		return proto.BadMessage, nil
	}
	old := o.group(p.ID)
	if old == nil {
		return proto.NoGroup, nil
	}
	if !o.byGroup(old) {
		return proto.Unsigned, nil
	}
	if g := o.named(p.Name); g != nil && g != old {
		return proto.Exists, nil
	}
	if !slices.Equal(p.Escrow, old.Escrow) {
		return proto.BadMessage, nil // its key is sealed to that one
	}
	return o.setGroup("amend group", &group{Group: p, key: old.key}), nil
}

func (o *order) backup() (proto.Code, []byte) {
	r, g, code := o.known()
	switch {
	case code != proto.OK:
		return code, nil
	case r.state.Sequence == 0:
		return proto.NotConnected, nil // there is nothing yet
	case o.isConnected(r.uuid):
		return proto.Busy, nil // its image would be another by the time it is copied
	}
	b, err := g.backup(&r)
	if err != nil {
		return proto.Failed, nil
	}
	changes, done := o.logged(r.uuid, "backup", fmt.Sprintf("state %d", r.state.Sequence))
	if code = o.commit(changes...); code == proto.OK {
		done()
	}
	return code, b
}

func (o *order) isConnected(u UUID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.connected[u] != nil
}

// restore makes an old state the valid one, in a new epoch of its vTPM.
func (o *order) restore() (proto.Code, []byte) {
	h, ok := parseBackup(o.args)
	if !ok {
		return proto.BadBackup, nil
	}
	g := o.group(h.group)
	if g == nil {
		return proto.NoGroup, nil
	}
	if !o.byGroup(g) {
		return proto.Unsigned, nil
	}
	now := time.Now().Unix()
	from, known := o.record(h.uuid)
	salt := from.salt
	switch {
	case !known && (len(g.Escrow) == 0 || o.damaged(h.uuid)):
		return proto.NotEnrolled, nil // destroyed is destroyed
	case !known:
		salt = h.salt
	case o.isConnected(h.uuid):
		return proto.Busy, nil
	}
	if known && from.group != h.group {
		// The group of the backup may not take over another's vTPM.
		return proto.NoGroup, nil
	}
	to, ok := g.open(h, salt, o.args)
	if !ok || to.salt != salt {
		return proto.BadBackup, nil
	}
	detail := fmt.Sprintf("state %d of epoch %d", to.state.Sequence, to.epoch)
	last := &from
	if known {
		floors := from.state.Floors
		if from.ledger != o.store.Epoch() {
			floors = raised(floors, from.saved, now)
		}
		to.state.Floors = highest(to.state.Floors, floors)
		to.epoch = max(to.epoch, from.epoch) + 1
		to.suspended, to.replace, to.image, to.name = from.suspended, from.replace, from.image, from.name
	} else {
		if !o.roomFor(1) {
			return proto.Full, nil
		}
		last = nil
		to.state.Floors = raised(to.state.Floors, to.saved, now)
		to.epoch++
		detail += ", from escrow"
	}
	to.ledger, to.saved = o.store.Epoch(), now
	code := o.change("restore", detail, h.uuid, last, &to)
	return code, binary.BigEndian.AppendUint32(append([]byte(nil), h.uuid[:]...), to.epoch)
}

func (o *order) measuredDomain() (proto.Code, []byte) {
	if len(o.args) != 2+32 {
		return proto.BadMessage, nil
	}
	o.mu.Lock()
	host := o.config.host
	o.mu.Unlock()
	if !o.signed(host) && !o.byAdmin() {
		return proto.Unsigned, nil
	}
	domain, image := binary.BigEndian.Uint16(o.args), [32]byte(o.args[2:])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.measured[domain] = image
	o.cfg.Log("vtpmmgr: domain %d runs %x", domain, image)
	return proto.OK, nil
}

func (o *order) approve() (proto.Code, []byte) {
	p, err := proto.ParseApproval(o.args)
	if err != nil {
		return proto.BadMessage, nil
	}
	if !o.byAdmin() {
		return proto.Unsigned, nil
	}
	a, err := hwtpm.NewApproval(p.Mask, p.Policy, p.Signature)
	if err == nil {
		err = o.root.Approve(a)
	}
	if err != nil {
		o.cfg.Log("vtpmmgr: %v", err)
		return proto.BadApproval, nil
	}
	if err := hwtpm.WriteRecord(o.cfg.Disk, o.root); err != nil {
		o.cfg.Log("vtpmmgr: %v", err)
		return proto.Failed, nil
	}
	changes, done := o.logged(UUID{}, "approve", fmt.Sprintf("PCRs %v, policy %x", a.PCRs, a.Policy[:8]))
	code := o.commit(changes...)
	if code == proto.OK {
		done()
	}
	return code, nil
}

// listed reads the number of the first entry that is wanted, and tells which
// groups the signer may see: all for the administrator, else those whose approver
// it is.
func (o *order) listed() (first uint32, sees func(group uint32) bool, code proto.Code) {
	if len(o.args) != 4 {
		return 0, nil, proto.BadMessage
	}
	first = binary.BigEndian.Uint32(o.args)
	if o.byAdmin() {
		return first, func(uint32) bool { return true }, proto.OK
	}
	o.mu.Lock()
	groups := maps.Clone(o.groups)
	o.mu.Unlock()
	signed, own := map[[32]byte]bool{}, map[uint32]bool{}
	for id, g := range groups {
		if _, known := signed[g.Approver]; !known {
			signed[g.Approver] = o.signed(g.Approver)
		}
		if signed[g.Approver] {
			own[id] = true
		}
	}
	if len(own) == 0 {
		return 0, nil, proto.Unsigned
	}
	return first, func(group uint32) bool { return own[group] }, proto.OK
}

func (o *order) list() (proto.Code, []byte) {
	n, sees, code := o.listed()
	if code != proto.OK {
		return code, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	uuids := slices.DeleteFunc(o.uuids(), func(u UUID) bool { return !sees(o.records[u].group) })
	return proto.OK, part(n, len(uuids), func(b []byte, i int) []byte {
		r := o.records[uuids[i]]
		e := proto.Entry{UUID: r.uuid, Group: r.group, Epoch: r.epoch, Sequence: r.state.Sequence, Floors: r.state.Floors,
			State: r.state.Sequence != 0, Connected: o.connected[r.uuid] != nil, Suspended: r.suspended, Replace: r.replace,
			Image: r.image, Name: r.name}
		return e.Append(b)
	})
}

func (o *order) listGroups() (proto.Code, []byte) {
	n, sees, code := o.listed()
	if code != proto.OK {
		return code, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(o.groups)), func(id uint32) bool { return !sees(id) })
	return proto.OK, part(n, len(ids), func(b []byte, i int) []byte { return o.groups[ids[i]].Append(b) })
}

// part returns the number of all entries, and those from number first on that
// fit into a message.
func part(first uint32, all int, add func(b []byte, i int) []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(all))
	for i := int64(first); i < int64(all); i++ {
		longer := add(b, int(i))
		if len(longer) > proto.MaxSize-proto.HeaderSize {
			break
		}
		b = longer
	}
	return b
}

func (o *order) auditLog() (proto.Code, []byte) {
	switch {
	case len(o.args) != 8:
		return proto.BadMessage, nil
	case !o.byAdmin():
		return proto.Unsigned, nil
	}
	return proto.OK, o.Manager.auditLog(binary.BigEndian.Uint64(o.args))
}

// status tells how the manager is: lines of a name, a blank, a value.
func (m *Manager) status(p Peer) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := fmt.Appendf(nil, "manager %x\nepoch %d\nledger %d\nguard %v\nvtpms %d\nconnected %d\ngroups %d\nroom %d\ndamaged %d\naudit %d\n",
		m.id, m.store.Epoch(), m.store.Sequence(), m.store.Mode(), len(m.records), len(m.connected), len(m.groups),
		m.store.Room(), len(m.store.Damaged()), m.config.next)
	// A hypervisor with a policy gives domain 0 a label too.
	policy := "none in force: whoever is root in domain 0 can read a vTPM's memory"
	if p.Label != "" {
		policy = "in force, domain 0 is " + p.Label
	}
	b = fmt.Appendf(b, "xsm %s\n", policy)
	disk := error(nil)
	if d, ok := m.cfg.Disk.(interface{ Health() error }); ok {
		disk = d.Health()
	}
	for _, s := range []struct {
		name string
		err  error
	}{{"tpm", m.tpm.Health()}, {"anchor", m.store.Health()}, {"disk", disk}} {
		why := "ok"
		if s.err != nil {
			why = "degraded: " + oneLine(s.err)
		}
		b = fmt.Appendf(b, "%s %s\n", s.name, why)
	}
	for _, code := range slices.Sorted(maps.Keys(m.refused)) {
		b = fmt.Appendf(b, "refused-%d %d\n", uint32(code), m.refused[code])
	}
	return string(b)
}

func oneLine(err error) string {
	b := []byte(err.Error())
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}
