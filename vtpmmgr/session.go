package vtpmmgr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// Open begins a session. dom0 is the administrator, whatever its uuid; any
// other domain is the vTPM that its uuid names. The error of a refusal is a
// proto.Code: Busy for a second domain with the uuid of a connected one,
// NotEnrolled, Damaged, Suspended, WrongLabel, NotMeasured or WrongImage. A vTPM that is being
// moved is told so at Load.
func (m *Manager) Open(p Peer) (*Session, error) {
	s := &Session{m: m, peer: p, admin: p.Domain == 0}
	if s.admin {
		return s, nil
	}
	if err := m.settle(); err != nil {
		return nil, fmt.Errorf("%w: %w", proto.Failed, err)
	}
	damaged := m.damaged(p.UUID)
	m.mu.Lock()
	defer m.mu.Unlock()
	code := m.admit(s)
	if damaged {
		code = proto.Damaged
	}
	if code == proto.Moving {
		return s, nil // so that LOAD can tell it
	}
	if code != proto.OK {
		m.refused[code]++
		return nil, fmt.Errorf("%w: %v in domain %d", code, p.UUID, p.Domain)
	}
	m.connected[p.UUID] = s
	return s, nil
}

// admit returns whether a domain may have the state of the vTPM that it says it
// is: when it connects, and each time that it loads. m.mu is held.
func (m *Manager) admit(s *Session) proto.Code {
	p := s.peer
	r, ok := m.records[p.UUID]
	if !ok {
		return proto.NotEnrolled
	}
	g := m.groups[r.group]
	image, measured := m.measured[p.Domain]
	switch {
	case g == nil:
		return proto.NoGroup // its item is damaged, in both places
	case r.away != 0:
		return proto.Moving
	case r.rooted && m.cameRoot(p.UUID) == nil:
		return proto.Damaged // its firmware secrets would be others
	case r.suspended:
		return proto.Suspended
	case !labelAllowed(g.Labels, p.Label):
		return proto.WrongLabel
	case r.image != [32]byte{} && !measured:
		return proto.NotMeasured
	case r.image != [32]byte{} && image.hash != r.image:
		return proto.WrongImage
	case m.connected[p.UUID] != nil && m.connected[p.UUID] != s:
		return proto.Busy
	}
	return proto.OK
}

// labelAllowed looks a label up in a list with commas between; an empty list
// allows any.
func labelAllowed(list, label string) bool {
	if list == "" {
		return true
	}
	for l := range strings.SplitSeq(list, ",") {
		if label != "" && strings.TrimSpace(l) == label {
			return true
		}
	}
	return false
}

// Close ends the session.
func (s *Session) Close() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.connected[s.peer.UUID] == s {
		delete(s.m.connected, s.peer.UUID)
	}
}

// Execute runs one request and returns the response, for any bytes.
func (s *Session) Execute(message []byte) []byte {
	code, body := s.execute(message)
	if code != proto.OK && code != proto.MoveRefused {
		body = nil
	}
	return proto.Message(proto.TagResponse, uint32(code), body)
}

func (s *Session) execute(message []byte) (proto.Code, []byte) {
	tag, ordinal, body, err := proto.Parse(message)
	if err != nil {
		return proto.BadMessage, nil
	}
	o := proto.Ordinal(ordinal)
	// Whoever asks how the manager is, waits for no hardware.
	if o != proto.Status && o != proto.Hello {
		if err := s.m.settle(); err != nil {
			s.m.cfg.Log("%v", err)
			return proto.Failed, nil
		}
	}
	switch {
	case tag == proto.TagAdmin && s.admin:
		if isCourier(o) {
			return s.courier(o, body)
		}
		return s.order(o, body)
	case tag == proto.TagRequest && !s.admin:
		return s.request(o, body)
	}
	return proto.BadOrdinal, nil
}

// request runs a vTPM's request.
func (s *Session) request(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	switch o {
	case proto.Load:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return s.load()
	case proto.Commit:
		next, urgency, err := proto.ParseCommit(body)
		if err != nil {
			return proto.BadMessage, nil
		}
		return s.commit(&next, urgency), nil
	case proto.Random:
		if len(body) != 2 {
			return proto.BadMessage, nil
		}
		n := int(binary.BigEndian.Uint16(body))
		if n > proto.MaxRandom {
			return proto.BadMessage, nil
		}
		if code := s.mayDraw(); code != proto.OK {
			return code, nil
		}
		return s.failed(s.m.random(s.peer.UUID, n))
	case proto.Guest:
		return s.guest(body)
	case proto.Certify:
		eks, err := proto.ParseEKs(body)
		if err != nil {
			return proto.BadMessage, nil
		}
		return s.certify(eks)
	case proto.Chain:
		if len(body) != 4 {
			return proto.BadMessage, nil
		}
		return s.chain(binary.BigEndian.Uint32(body))
	case proto.CertifyKey:
		return s.certifyAK(body)
	case proto.Certified:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return s.certified()
	case proto.Attest:
		ask, err := evidence.ParseAsk(body)
		if err != nil || ask.Nonce == nil {
			return proto.BadMessage, nil
		}
		return s.attest(ask)
	}
	return proto.BadOrdinal, nil
}

// mayDraw returns whether a vTPM that is connected may have random bytes of the hardware
// TPM: not after it was suspended or destroyed.
func (s *Session) mayDraw() proto.Code {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	switch r, known := s.m.records[s.peer.UUID]; {
	case !known:
		return proto.NotEnrolled
	case r.suspended:
		return proto.Suspended
	case r.away != 0:
		return proto.Moving
	}
	return proto.OK
}

// failed turns an error into a status.
func (s *Session) failed(b []byte, err error) (proto.Code, []byte) {
	switch {
	case errors.Is(err, errRate):
		return proto.Rate, nil
	case err != nil:
		s.m.cfg.Log("%v", err)
		return proto.Failed, nil
	}
	return proto.OK, b
}

// load gives a vTPM what is its own, if its domain may have that now.
func (s *Session) load() (proto.Code, []byte) {
	m := s.m
	entropy, err := m.random(s.peer.UUID, proto.SeedSize) // before anything is locked
	damaged := m.damaged(s.peer.UUID)
	m.mu.Lock()
	defer m.mu.Unlock()
	code := m.admit(s)
	if damaged {
		code = proto.Damaged
	}
	if code != proto.OK {
		m.refused[code]++
		return code, nil
	}
	r := m.records[s.peer.UUID]
	g := m.groups[r.group]
	grant := proto.Grant{Manufacture: r.state.Sequence == 0, Replace: r.replace && r.state.Sequence == 0, UUID: r.uuid,
		Epoch: r.epoch, Ledger: m.store.Epoch(), State: r.state, Profile: r.profile, Attested: r.attested}
	switch {
	case err == nil:
		copy(grant.Entropy[:], entropy)
	case grant.Manufacture, errors.Is(err, errRate):
		// The seeds of a TPM that lives for years wait for the hardware's.
		return s.failed(nil, err)
	default:
		m.cfg.Log("vtpmmgr: %v starts without random bytes of the hardware TPM: %v", r.uuid, err)
		randomBytes(grant.Entropy[:])
	}
	if !grant.Manufacture {
		if grant.State.Key, err = g.unwrap(&r); err != nil {
			return s.failed(nil, err)
		}
		if r.ledger != m.store.Epoch() {
			grant.State.Floors = raised(r.state.Floors, r.saved, time.Now().Unix())
		}
	}
	if image, ok := m.measured[s.peer.Domain]; ok {
		root, err := g.rootOf(&r, m.cameRoot(r.uuid))
		if err != nil {
			return s.failed(nil, err)
		}
		grant.Firmware, grant.SVN = firmwareSecrets(root, image.hash)
	}
	m.connected[s.peer.UUID] = s
	s.enrollment = r.salt
	s.loaded = true
	return proto.OK, grant.Append(nil)
}

// commit makes a state the valid one of its vTPM.
func (s *Session) commit(next *proto.State, urgency proto.Urgency) proto.Code {
	m := s.m
	defer m.turns.take(s.peer.UUID, false)()
	m.mu.Lock()
	last, known := m.records[s.peer.UUID]
	g := m.groups[last.group]
	// Whoever lost its place, or loaded under an earlier enrollment of the
	// uuid, has to load again.
	mayCommit := s.loaded && m.connected[s.peer.UUID] == s && s.enrollment == last.salt
	m.mu.Unlock()
	switch {
	case !known:
		return proto.NotEnrolled // destroyed while connected
	case last.suspended:
		return proto.Suspended
	case last.away != 0:
		return proto.Moving
	case !mayCommit:
		return proto.NotConnected
	case g == nil:
		return proto.NoGroup
	case next.Sequence == last.state.Sequence:
		return m.noteFrozen(s.peer.UUID, next, urgency, again(g, &last, next))
	case next.Sequence != last.state.Sequence+1:
		return proto.BadSequence
	case !m.mayCommit(s.peer.UUID):
		return proto.Rate
	}
	to := last
	to.state, to.state.Key = *next, [proto.KeySize]byte{}
	to.key = g.wrap(to.uuid, next.Key)
	to.ledger, to.saved = m.store.Epoch(), time.Now().Unix()
	return m.noteFrozen(s.peer.UUID, next, urgency, m.set(classOf(&last, g, next, urgency), s.peer.UUID, &to))
}

// noteFrozen notes whether a commit that was done says that no command runs before another
// one. It returns the commit's status.
func (m *Manager) noteFrozen(u UUID, next *proto.State, urgency proto.Urgency, code proto.Code) proto.Code {
	if code != proto.OK {
		return code
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.frozen, u)
	if urgency == proto.Frozen {
		m.frozen[u] = next.Sequence
	}
	return code
}

// classOf returns how urgent the commit of a vTPM of group g is. That it is idle or urgent the
// vTPM says: who lies harms himself, or uses up his group's share of urgent ones.
func classOf(last *record, g *group, next *proto.State, urgency proto.Urgency) ledger.Class {
	c := ledger.Class{Source: vtpmItem(last.uuid), Tenant: g.tenant()}
	switch {
	case last.state.Sequence == 0 || urgency >= proto.Urgent || next.Floors.FailedTries > last.state.Floors.FailedTries:
		c.Urgency = ledger.Urgent
	case urgency == proto.Idle:
		c.Urgency = ledger.Idle
	}
	return c
}

// again answers a commit that was asked for twice: it is done.
func again(g *group, last *record, next *proto.State) proto.Code {
	if next.Sequence == 0 {
		return proto.BadSequence
	}
	key, err := g.unwrap(last)
	if err != nil {
		return proto.Failed
	}
	have := last.state
	have.Key = key
	if have != *next {
		return proto.BadSequence
	}
	return proto.OK
}
