package vtpmmgr

import (
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// starts lists how guests were started.
func (o *order) starts() (proto.Code, []byte) {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	uuids := o.visible()
	return proto.OK, part(o.args.(uint32), len(uuids), func(b []byte, i int) []byte {
		s := m.guestStart(uuids[i])
		return s.Append(b)
	})
}

// guestStart returns what is known of the guest of a vTPM. m.mu is held.
func (m *Manager) guestStart(u UUID) proto.GuestStart {
	r, g := m.records[u], m.guests[u]
	s := proto.GuestStart{UUID: u, Serves: g.serves && g.served != noDomain, Domain: g.served, Programs: r.programList(), Damaged: r.listed && r.programs == ""}
	if now := m.connected[u]; now == nil || !g.startedIn(now) {
		return s
	}
	s.Start.Created = true
	if p := g.start.program; p != nil {
		s.Start.Measured, s.Program, s.By = true, *p, proto.HostKey
		if g.start.by == evidence.Administrator {
			s.By = proto.AdminKey
		}
	}
	return s
}

// visible returns the vTPMs that a list shows to whoever signed the order. m.mu is held.
func (o *order) visible() (uuids []UUID) {
	for _, u := range o.m.uuids() {
		if o.sees(o.m.records[u].group) {
			uuids = append(uuids, u)
		}
	}
	return uuids
}

// countStarts returns how many guests are there whose TPM has the PCRs of their start, and
// of how many of them that was measured. m.mu is held.
func (m *Manager) countStarts() (created, measured int) {
	for u, s := range m.connected {
		if g := m.guests[u]; g.startedIn(s) {
			created++
			if g.start.program != nil {
				measured++
			}
		}
	}
	return created, measured
}
