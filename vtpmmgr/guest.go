package vtpmmgr

import (
	"encoding/binary"
	"time"

	"stubtpm/vtpmmgr/proto"
)

func parseCreated(args []byte) (request, error) {
	if len(args) != 2+len(UUID{}) {
		return request{}, proto.BadMessage
	}
	u := UUID(args[2:])
	return request{vtpm: &u, args: creation{binary.BigEndian.Uint16(args)}}, nil
}

// createdGuest notes a creation. Of each vTPM the newest one counts, once.
func (o *order) createdGuest() (proto.Code, []byte) {
	if !o.known {
		return proto.NotEnrolled, nil
	}
	m, domain := o.m, o.args.(creation).domain
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.guests[o.uuid]
	g.created, g.told = creation{domain}, time.Now()
	m.guests[o.uuid] = g
	m.cfg.Log("vtpmmgr: domain %d was created with vTPM %v", domain, o.uuid)
	return proto.OK, nil
}

// guest answers whether a domain that connects to a vTPM may find the PCRs of a
// machine that was just switched on, or notes that it has the TPM now.
func (s *Session) guest(body []byte) (proto.Code, []byte) {
	if len(body) != 3 || body[2] > 1 {
		return proto.BadMessage, nil
	}
	m, domain, served := s.m, binary.BigEndian.Uint16(body), body[2] == 1
	m.mu.Lock()
	defer m.mu.Unlock()
	u := s.peer.UUID
	r, known := m.records[u]
	switch {
	case !known || !s.loaded || m.connected[u] != s:
		return proto.NotConnected, nil
	case r.suspended:
		return proto.Suspended, nil
	}
	g := m.guests[u]
	fresh := g.isCreated(domain)
	switch {
	case fresh || r.attested:
	case g.serves:
		fresh = g.served != domain
	default:
		fresh = m.fromBoot
	}
	if served {
		switch {
		case g.isCreated(domain):
			g.started = s
		case g.served != domain || g.started != s:
			g.started = nil
		}
		if g.created.domain == domain {
			// It is used up: from here on the domain's life is known. One of another
			// domain waits for that.
			g.told = time.Time{}
		}
		g.served, g.serves = domain, true
		m.guests[u] = g
	}
	if fresh {
		return proto.OK, []byte{1}
	}
	return proto.OK, []byte{0}
}

// forgetGuests drops what is known of the guests of a vTPM that is destroyed.
func (m *Manager) forgetGuests(u UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.guests, u)
}
