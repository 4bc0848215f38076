package vtpmmgr

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"stubtpm/vtpmmgr/proto"
)

// status returns how the manager is: lines of a name, a blank, a value. It waits
// for no hardware.
func (m *Manager) status(p Peer) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := fmt.Appendf(nil, "manager %x\nepoch %d\nledger %d\nguard %v\nvtpms %d\nconnected %d\ngroups %d\nroom %d\ndamaged %d\naudit %d\n",
		m.id, m.store.Epoch(), m.store.Sequence(), m.store.Mode(), len(m.records), len(m.connected), len(m.groups),
		m.store.Room(), len(m.store.Damaged()), m.config.audit[proto.ManagerLog].next)
	b = fmt.Appendf(b, "audit-tenants %d\nadmin-number %d\n", m.config.audit[proto.TenantLog].next, m.config.adminNumber)
	// A hypervisor with a policy gives dom0 a label too.
	policy := "none in force: whoever is root in dom0 can read a vTPM's memory"
	if p.Label != "" {
		policy = "in force, dom0 is " + p.Label
	}
	b = fmt.Appendf(b, "xsm %s\n", policy)
	for _, s := range []struct {
		name string
		err  error
	}{{"tpm", m.tpm.Health()}, {"anchor", m.store.Health()}, {"disk", m.disk.Health()}, {"old-indices", m.oldIndices}} {
		why := "ok"
		if s.err != nil {
			why = "degraded: " + oneLine(s.err)
		}
		b = fmt.Appendf(b, "%s %s\n", s.name, why)
	}
	created, measured := m.countStarts()
	b = fmt.Appendf(b, "guests-created %d\nguests-measured %d\n", created, measured)
	b = m.movingStatus(b)
	b = m.identityStatus(b, time.Now())
	b = m.wear(b)
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
