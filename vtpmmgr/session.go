package vtpmmgr

import (
	"encoding/binary"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/proto"
)

// A Peer is who is at the other end of a connection, as the toolstack says,
// never as the peer does.
type Peer struct {
	Domain uint16
	UUID   UUID
}

// A Session serves one connection.
type Session struct {
	m      *Manager
	peer   Peer
	admin  bool
	loaded bool
}

// Open begins a session. Domain 0 is the administrator, whatever its uuid; any
// other domain is the vTPM that its uuid names. A second domain with the uuid
// of a connected one is refused with proto.Busy, an unknown one with
// proto.NotEnrolled.
func (m *Manager) Open(p Peer) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &Session{m: m, peer: p, admin: p.Domain == 0}
	if s.admin {
		return s, nil
	}
	if _, ok := m.ledger[p.UUID]; !ok {
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
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
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
	m := s.m
	e, ok := m.ledger[s.peer.UUID]
	if !ok {
		return proto.NotEnrolled, nil // deleted while connected
	}
	switch o {
	case proto.Load:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		entropy, err := m.random(proto.SeedSize)
		if err != nil {
			m.cfg.Log("%v", err)
			return proto.Failed, nil
		}
		s.loaded = true
		g := proto.Grant{Manufacture: e.sequence == 0, UUID: s.peer.UUID, Sequence: e.sequence, Hash: e.hash, Key: e.key}
		copy(g.Entropy[:], entropy)
		return proto.OK, g.Append(nil)
	case proto.Commit:
		if len(body) != 8+proto.HashSize+proto.KeySize {
			return proto.BadMessage, nil
		}
		if !s.loaded {
			return proto.NotConnected, nil
		}
		next := entry{sequence: binary.BigEndian.Uint64(body)}
		copy(next.hash[:], body[8:])
		copy(next.key[:], body[8+proto.HashSize:])
		if next == e {
			return proto.OK, nil // asked twice: it is done
		}
		if next.sequence != e.sequence+1 {
			return proto.BadSequence, nil
		}
		return m.set(s.peer.UUID, &next), nil
	case proto.Random:
		if len(body) != 2 {
			return proto.BadMessage, nil
		}
		n := int(binary.BigEndian.Uint16(body))
		if n > 1024 {
			return proto.BadMessage, nil
		}
		b, err := m.random(n)
		if err != nil {
			m.cfg.Log("%v", err)
			return proto.Failed, nil
		}
		return proto.OK, b
	case proto.PCRRead:
		if len(body) != 1 || body[0] >= 24 {
			return proto.BadMessage, nil
		}
		r, err := tpm2.PCRRead{PCRSelectionIn: selection([]uint{uint(body[0])})}.Execute(m.cfg.TPM)
		if err != nil || len(r.PCRValues.Digests) != 1 {
			m.cfg.Log("vtpmmgr: PCR %d: %v", body[0], err)
			return proto.Failed, nil
		}
		return proto.OK, r.PCRValues.Digests[0].Buffer
	}
	return proto.BadOrdinal, nil
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
		_, known := m.ledger[u]
		if o == proto.Enroll {
			if known {
				return proto.Exists, nil
			}
			if len(m.ledger) >= maxEntries {
				return proto.Failed, nil
			}
			code := m.set(u, &entry{})
			m.cfg.Log("vtpmmgr: enroll %v: %v", u, code)
			return code, nil
		}
		if !known {
			return proto.NotEnrolled, nil
		}
		code := m.set(u, nil)
		if c := m.connected[u]; c != nil && code == proto.OK {
			c.loaded = false // what it loaded is not of a later enrolment
		}
		m.cfg.Log("vtpmmgr: delete %v: %v", u, code)
		return code, nil
	case proto.List:
		if len(body) != 4 {
			return proto.BadMessage, nil
		}
		return proto.OK, m.list(binary.BigEndian.Uint32(body))
	case proto.Status:
		if len(body) != 0 {
			return proto.BadMessage, nil
		}
		return proto.OK, fmt.Appendf(nil, "vTPMs %d, connected %d, ledger %d", len(m.ledger), len(m.connected), m.sequence)
	}
	return proto.BadOrdinal, nil
}

// list returns the entries from number first on, in the order of their uuids.
func (m *Manager) list(first uint32) []byte {
	uuids := m.ledger.uuids()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(uuids)))
	if uint64(first) > uint64(len(uuids)) {
		return b
	}
	uuids = uuids[first:]
	for _, u := range uuids[:min(len(uuids), listMax)] {
		e := m.ledger[u]
		out := proto.Entry{UUID: u, Sequence: e.sequence, State: e.sequence != 0, Connected: m.connected[u] != nil}
		b = out.Append(b)
	}
	return b
}
