package vtpmmgr

import (
	"encoding/binary"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// A Peer is who is at the other end of a connection, as the toolstack says,
// never as the peer does.
type Peer struct {
	Domain uint16
	UUID   UUID
}

// A Session serves one connection, one request at a time.
type Session struct {
	m     *Manager
	peer  Peer
	admin bool

	loaded bool // guarded by m.mu
}

// Open begins a session. Domain 0 is the administrator, whatever its uuid; any
// other domain is the vTPM that its uuid names. A second domain with the uuid
// of a connected one is refused with proto.Busy, an unknown one with
// proto.NotEnrolled, one whose record is damaged with proto.Damaged.
func (m *Manager) Open(p Peer) (*Session, error) {
	s := &Session{m: m, peer: p, admin: p.Domain == 0}
	if s.admin {
		return s, nil
	}
	if err := m.settle(); err != nil {
		return nil, fmt.Errorf("%w: %w", proto.Failed, err)
	}
	if m.damaged(p.UUID) {
		return nil, fmt.Errorf("%w: %v", proto.Damaged, p.UUID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.records[p.UUID]; !ok {
		return nil, fmt.Errorf("%w: %v", proto.NotEnrolled, p.UUID)
	}
	if m.connected[p.UUID] != nil {
		return nil, fmt.Errorf("%w: %v", proto.Busy, p.UUID)
	}
	m.connected[p.UUID] = s
	return s, nil
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
	if code != proto.OK {
		body = nil
	}
	return proto.Message(proto.TagResponse, uint32(code), body)
}

func (s *Session) execute(message []byte) (proto.Code, []byte) {
	tag, ordinal, body, err := proto.Parse(message)
	if err != nil {
		return proto.BadMessage, nil
	}
	if err := s.m.settle(); err != nil {
		s.m.cfg.Log("%v", err)
		if proto.Ordinal(ordinal) != proto.Status {
			return proto.Failed, nil
		}
	}
	switch {
	case tag == proto.TagAdmin && s.admin:
		return s.adminRequest(proto.Ordinal(ordinal), body)
	case tag == proto.TagRequest && !s.admin:
		return s.request(proto.Ordinal(ordinal), body)
	}
	return proto.BadOrdinal, nil
}

// request runs a vTPM's request.
func (s *Session) request(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	r, ok := s.m.record(s.peer.UUID)
	if !ok {
		return proto.NotEnrolled, nil // deleted while connected
	}
	switch o {
	case proto.Load:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return s.load(&r)
	case proto.Commit:
		if len(body) != 8+proto.HashSize+proto.KeySize {
			return proto.BadMessage, nil
		}
		next := record{uuid: s.peer.UUID, sequence: binary.BigEndian.Uint64(body)}
		copy(next.hash[:], body[8:])
		copy(next.key[:], body[8+proto.HashSize:])
		return s.commit(&r, &next), nil
	case proto.Random:
		if len(body) != 2 {
			return proto.BadMessage, nil
		}
		n := int(binary.BigEndian.Uint16(body))
		if n > 1024 {
			return proto.BadMessage, nil
		}
		return s.failed(s.m.tpm.Random(n))
	case proto.PCRRead:
		if len(body) != 1 || body[0] >= 24 {
			return proto.BadMessage, nil
		}
		v, err := s.m.tpm.PCR(uint(body[0]))
		return s.failed(v[:], err)
	}
	return proto.BadOrdinal, nil
}

// failed turns an error into a status.
func (s *Session) failed(b []byte, err error) (proto.Code, []byte) {
	if err != nil {
		s.m.cfg.Log("%v", err)
		return proto.Failed, nil
	}
	return proto.OK, b
}

func (s *Session) load(r *record) (proto.Code, []byte) {
	entropy, err := s.m.tpm.Random(proto.SeedSize)
	if err != nil {
		return s.failed(nil, err)
	}
	g := proto.Grant{Manufacture: r.sequence == 0, UUID: r.uuid, Sequence: r.sequence, Hash: r.hash, Key: r.key}
	copy(g.Entropy[:], entropy)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.loaded = true
	return proto.OK, g.Append(nil)
}

func (s *Session) commit(last, next *record) proto.Code {
	s.m.mu.Lock()
	loaded := s.loaded
	s.m.mu.Unlock()
	switch {
	case !loaded:
		return proto.NotConnected
	case *next == *last:
		return proto.OK // asked twice: it is done
	case next.sequence != last.sequence+1:
		return proto.BadSequence
	}
	return s.m.set(s.peer.UUID, last, next)
}

// listMax is how many entries one answer has: what fits on a ring page.
const listMax = 128

// adminRequest runs an administrator's request.
func (s *Session) adminRequest(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	m := s.m
	switch o {
	case proto.Enroll, proto.Delete:
		if len(body) != 16 {
			return proto.BadMessage, nil
		}
		u := UUID(body)
		if o == proto.Enroll {
			return s.enroll(u), nil
		}
		return s.delete(u), nil
	case proto.List:
		if len(body) != 4 {
			return proto.BadMessage, nil
		}
		return proto.OK, m.list(binary.BigEndian.Uint32(body))
	case proto.Status:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return proto.OK, []byte(m.status())
	}
	return proto.BadOrdinal, nil
}

func (s *Session) enroll(u UUID) proto.Code {
	if _, known := s.m.record(u); known {
		return proto.Exists
	}
	if s.m.damaged(u) {
		return proto.Damaged
	}
	code := s.m.set(u, nil, &record{uuid: u})
	s.m.cfg.Log("vtpmmgr: enroll %v: %v", u, code)
	return code
}

func (s *Session) delete(u UUID) proto.Code {
	var from *record
	if r, known := s.m.record(u); known {
		from = &r
	} else if !s.m.damaged(u) {
		return proto.NotEnrolled
	}
	code := s.m.set(u, from, nil)
	if code == proto.OK {
		s.m.mu.Lock()
		if c := s.m.connected[u]; c != nil {
			c.loaded = false // what it loaded is not of a later enrolment
		}
		s.m.mu.Unlock()
	}
	s.m.cfg.Log("vtpmmgr: delete %v: %v", u, code)
	return code
}

// status tells how the manager is, for people.
func (m *Manager) status() string {
	m.mu.Lock()
	vtpms, connected := len(m.records), len(m.connected)
	m.mu.Unlock()
	b := fmt.Appendf(nil, "vTPMs %d, connected %d, ledger %d, epoch %d, guard %v", vtpms, connected,
		m.store.Sequence(), m.store.Epoch(), m.store.Mode())
	if n := len(m.store.Damaged()); n > 0 {
		b = fmt.Appendf(b, ", damaged records %d", n)
	}
	for _, err := range []error{m.tpm.Health(), m.store.Health()} {
		if err != nil {
			b = fmt.Appendf(b, "\ndegraded: %v", err)
		}
	}
	return string(b)
}

// list returns the entries from number first on, in the order of their uuids.
func (m *Manager) list(first uint32) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	uuids := m.uuids()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(uuids)))
	if uint64(first) > uint64(len(uuids)) {
		return b
	}
	uuids = uuids[first:]
	for _, u := range uuids[:min(len(uuids), listMax)] {
		r := m.records[u]
		out := proto.Entry{UUID: u, Sequence: r.sequence, State: r.sequence != 0, Connected: m.connected[u] != nil}
		b = out.Append(b)
	}
	return b
}
