package vtpmmgr

import (
	"fmt"
	"time"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A mover is the manager's part in the moves of one vTPM, while it has the vTPM's turn and
// that of orders: all that package transfer leaves to it.
type mover struct {
	m      *Manager
	u      UUID
	labels bool // Xen enforces security labels
}

// home and place are what a mover is for a source and for a target.
type (
	home  struct{ *mover }
	place struct{ *mover }
)

// Load returns the state of the vTPM's moves.
func (v *mover) Load() (*transfer.State, error) {
	m := v.m
	if err := m.settle(); err != nil {
		return nil, err
	}
	if m.damaged(v.u) {
		return nil, proto.Damaged
	}
	e := m.movingOf(v.u)
	if e.damage != nil {
		return nil, fmt.Errorf("%w: %w", proto.Damaged, e.damage)
	}
	m.mu.Lock()
	_, known := m.records[v.u]
	m.mu.Unlock()
	st, err := transfer.ParseState(e.state.Append(nil))
	if err != nil {
		return nil, err
	}
	if known && st.Phase == transfer.None {
		st.Phase = transfer.Live
	}
	if e.epoch != m.store.Epoch() {
		st.Offer = nil // of before an old ledger was opened: it may have been used
	}
	return st, nil
}

// required is the class of a commit that nothing may take back.
func required() ledger.Class { return ledger.Class{Urgency: ledger.Required} }

// Store commits a state, with the record that belongs to it.
func (v *mover) Store(st *transfer.State) error {
	m, now := v.m, time.Now().Unix()
	before := v.m.movingOf(v.u)
	m.mu.Lock()
	r, known := m.records[v.u]
	m.mu.Unlock()
	next := moving{uuid: v.u, epoch: m.store.Epoch(), since: before.since, offered: before.offered, root: before.root, rules: before.rules, state: *st}
	if o := before.state.Offer; st.Offer != nil && (o == nil || o.Terms != st.Offer.Terms) {
		next.offered = now
	}
	was := before.state.Phase
	if known && was == transfer.None {
		was = transfer.Live
	}
	if was == st.Phase {
		return v.keep(&before, &next)
	}
	next.since = now
	c := &moved{mover: v, before: &before, next: &next, record: r, known: known, done: func() {}}
	var err error
	switch st.Phase {
	case transfer.Sent:
		err = c.send()
	case transfer.Gone:
		err = c.leave()
	case transfer.Received:
		err = c.receive()
	case transfer.Live:
		c.live(was)
	default:
		err = errMoving
	}
	if err != nil {
		return err
	}
	return c.commit()
}

// keep commits what is no change of the phase: an offer, or its refusal.
func (v *mover) keep(before, next *moving) error {
	m := v.m
	changes := next.changes(before)
	if !m.hasRoom(next, before.parts, 0) {
		return proto.Full
	}
	class := required()
	if o := before.state.Offer; next.state.Offer != nil && next.state.Offer.Refused == 0 && (o == nil || o.Refused != 0) {
		// An offer that an old disk takes back is one that this manager refuses.
		class.Urgency = ledger.Urgent
	}
	if code := m.commit(class, changes...); code != proto.OK {
		return code
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := next.state.Offer; o != nil && o.Refused == transfer.Withdrawn {
		m.offers.used += requiredOffer // anybody may ask for that
	}
	m.keepMoving(next)
	return nil
}

// A moved is a change of the phase.
type moved struct {
	*mover
	before, next  *moving
	record        record // what it becomes
	known         bool   // there was one before
	event, detail string
	with          []ledger.Change
	done          func()
}

func (c *moved) send() error {
	c.record.away = transfer.Sent
	c.event, c.detail = "move: sent", fmt.Sprintf("to manager %x, move %x", c.next.state.Last.Target, c.next.state.Last.Move)
	return nil
}

// leave makes the record what remains of a vTPM that is gone: without its keys. Its
// certificates by this host are revoked.
func (c *moved) leave() error {
	revocation, revoke, room := c.m.revocation(c.u, c.record.group, false)
	if !room {
		return proto.Full
	}
	c.record.away, c.record.key, c.record.rooted, c.next.root = transfer.Gone, wrappedKey{}, false, nil
	c.with, c.done = revocation, func() {
		revoke()
		c.m.forgetGuests(c.u)
		c.m.endSession(c.u)
	}
	c.event, c.detail = "move: gone", fmt.Sprintf("to manager %x, move %x", c.next.state.Last.Target, c.next.state.Last.Move)
	return nil
}

// receive makes the record of a vTPM that is received. Its keys are in the record from then on.
func (c *moved) receive() error {
	in := *c.next.state.Record
	g := (&order{m: c.m}).named(in.Group)
	if g == nil {
		return proto.NoGroup // it was there when it was asked for
	}
	r := received(&in, g)
	if r.salt = newSalt(); c.known {
		r.salt = c.record.salt // so that its backups of here still serve
	}
	r.ledger, r.saved = c.m.store.Epoch(), time.Now().Unix()
	c.record, c.next.root = r, g.wrapRoot(c.u, in.Firmware)
	c.next.rules = in.Rules
	in.Key, in.Firmware = [32]byte{}, [32]byte{}
	c.next.state.Record = &in
	c.event, c.detail = "move: received", fmt.Sprintf("from manager %x, move %x", c.next.state.Last.Source, c.next.state.Last.Move)
	return nil
}

func (c *moved) live(was transfer.Phase) {
	c.record.away = 0
	c.event, c.detail = "move: refused", "it is live here again"
	if was == transfer.Received {
		c.event, c.detail = "move: live", fmt.Sprintf("from manager %x, move %x", c.next.state.Last.Source, c.next.state.Last.Move)
	}
}

func (c *moved) commit() error {
	m := c.m
	changes := append(c.next.changes(c.before), c.with...)
	items := 0
	if !c.known {
		items = 1 + min(1, len(c.record.programs))
	}
	if !m.hasRoom(c.next, c.before.parts, items) {
		return proto.Full
	}
	g := m.group(c.record.group)
	if g == nil {
		g = &group{} // damaged: what has happened is told all the same
	}
	entry, logged := (&order{m: m, uuid: c.u, group: g, guest: true}).logged(c.u, c.event, c.detail, nil)
	if code := m.set(required(), c.u, &c.record, append(changes, entry...)...); code != proto.OK {
		return code
	}
	logged()
	c.done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepMoving(c.next)
	if p := c.next.state.Phase; p == transfer.Gone || p == transfer.Received {
		delete(m.frozen, c.u)
	}
	return nil
}

// hasRoom reports whether there is room for changes, and for so many more items. A commit
// that adds none needs none.
func (m *Manager) hasRoom(v *moving, before int, more int) bool {
	need := 2*max(0, v.parts-before) + more
	return need == 0 || (&order{m: m}).roomFor(need)
}

// restoredMoving returns what becomes of a vTPM's moves when its record is restored: it is
// live, and no answer about what was sent counts any more. The root is that of the backup, if
// it has one. done is to be called once the changes are committed.
func (m *Manager) restoredMoving(to *record, root [proto.KeySize]byte, g *group) (changes []ledger.Change, done func(), ok bool) {
	before := m.movingOf(to.uuid)
	next := moving{uuid: to.uuid, epoch: m.store.Epoch(), since: time.Now().Unix(), offered: before.offered, root: before.root, rules: before.rules,
		state: transfer.State{Phase: transfer.Live, Offer: before.state.Offer}}
	if next.root == nil && to.rooted {
		next.root = g.wrapRoot(to.uuid, root)
	}
	to.rooted = next.root != nil
	changes = next.changes(&before)
	return changes, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.keepMoving(&next)
		delete(m.frozen, to.uuid)
	}, m.hasRoom(&next, before.parts, 0)
}
