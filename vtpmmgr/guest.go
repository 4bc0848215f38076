package vtpmmgr

import (
	"encoding/binary"
	"time"

	"stubtpm/vtpmmgr/proto"
)

func parseCreated(args []byte) (request, error) {
	c, err := proto.ParseCreation(args)
	return request{vtpm: &c.VTPM, args: creation{domain: c.Domain, program: c.Program}}, err
}

func parseRestored(args []byte) (request, error) {
	t, err := proto.ParseRestoration(args)
	return request{vtpm: &t.VTPM, args: creation{domain: t.Domain, token: &t.Token}}, err
}

// noDomain is the number of no domain.
const noDomain = 0xFFFF

// restoredGuest notes that a domain was restored, which counts as a creation does.
func (o *order) restoredGuest() (proto.Code, []byte) { return o.createdGuest() }

// createdGuest notes a creation. Of each vTPM and of each domain the newest one counts,
// once.
func (o *order) createdGuest() (proto.Code, []byte) {
	m, c := o.m, o.args.(creation)
	c.by = o.reporter()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetCreations(c.domain)
	code := proto.NotEnrolled
	switch {
	case o.known && c.token != nil:
		code = proto.OK // the vTPM knows whether the image belongs to it
	case o.known:
		code = o.record.mayStart(c.program)
	}
	if code != proto.OK {
		m.refused[code]++
		m.cfg.Log("vtpmmgr: domain %d was %s with vTPM %v%v: %v", c.domain, c.how(), o.uuid, c, code)
		return code, nil
	}
	g := m.guests[o.uuid]
	g.created, g.told, g.asked = c, time.Now(), nil
	if c.token != nil && g.served == c.domain {
		// That was another domain of the number.
		g.served, g.started, g.start = noDomain, nil, creation{}
	}
	m.guests[o.uuid] = g
	m.cfg.Log("vtpmmgr: domain %d was %s with vTPM %v%v", c.domain, c.how(), o.uuid, c)
	return proto.OK, nil
}

// forgetCreations drops what was told of earlier domains of a number. m.mu is held.
func (m *Manager) forgetCreations(domain uint16) {
	for u, g := range m.guests {
		if !g.told.IsZero() && g.created.domain == domain {
			g.forgetCreation()
			m.guests[u] = g
		}
	}
}

// guest answers what is known of the start of a domain that connects to a vTPM, or notes
// that it has the TPM now.
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
	case r.away != 0:
		return proto.Moving, nil
	}
	g := m.guests[u]
	if code := g.mayHave(&r, domain, served); code != proto.OK {
		m.refused[code]++
		m.cfg.Log("vtpmmgr: domain %d does not get vTPM %v: %v", domain, u, code)
		return code, nil
	}
	start := g.startOf(domain)
	switch {
	case start.Restored:
		start.MustFit = r.mayStart(nil) != proto.OK
	case start.Created || r.attested:
	case g.serves:
		start.Created = g.served != domain
	default:
		start.Created = m.fromBoot
	}
	switch {
	case served && start.Restored && g.asked != s:
		// The vTPM takes it for the domain that it serves, and did not look at the token.
	case served:
		g.serve(s, domain)
	default:
		g.ask(s, domain)
	}
	m.guests[u] = g
	return proto.OK, start.Append(nil)
}

// forgetGuests drops what is known of the guests of a vTPM that is destroyed.
func (m *Manager) forgetGuests(u UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.guests, u)
}
