package vtpmmgr

import (
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// revocation returns the changes that revoke all certificates of a vTPM, and what to do
// once they are committed. It reports false if there is no room for them. The caller has
// m.orders, or nobody else is there.
func (m *Manager) revocation(u UUID) (changes []ledger.Change, done func(), room bool) {
	m.mu.Lock()
	c, list := m.certified[u], m.revoked
	m.mu.Unlock()
	if c == nil {
		return nil, func() {}, true
	}
	now := time.Now()
	next, changes, room := list.with(c.all(now), now)
	return append(changes, ledger.Change{ID: certifiedItem(u)}), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.certified, u)
		m.revoked = next
	}, room
}
