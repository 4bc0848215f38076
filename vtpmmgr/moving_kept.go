package vtpmmgr

import (
	"errors"

	"stubtpm/vtpmmgr/ledger"
)

// readMoving reads what is kept of the moves of some vTPMs, and of those whose records say
// that something must be. m.mu is held.
func (m *Manager) readMoving(of map[UUID]bool) {
	m.moving = map[UUID]*moving{}
	for u, r := range m.records {
		if r.away != 0 || r.rooted {
			of[u] = true
		}
	}
	for u := range of {
		v, err := readMoving(m.store.Get, u)
		if err == nil {
			r, known := m.records[u]
			err = v.fits(&r, known)
		}
		if err != nil {
			m.cfg.Log("vtpmmgr: what is known of the moves of %v cannot be read: %v", u, err)
			v = &moving{uuid: u, parts: movingParts, damage: err}
		}
		m.moving[u] = v
	}
}

// movingOf returns what is kept of a vTPM's moves; empty for nothing.
func (m *Manager) movingOf(u UUID) moving {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.moving[u]; v != nil {
		return *v
	}
	return moving{uuid: u}
}

// noMoving returns the changes that erase what is kept of a vTPM's moves.
func (m *Manager) noMoving(u UUID) (changes []ledger.Change) {
	for i := range movingParts {
		for _, id := range movingItems(u, i) {
			if _, err := m.store.Get(id); !errors.Is(err, ledger.ErrNotFound) {
				changes = append(changes, ledger.Change{ID: id})
			}
		}
	}
	return changes
}

// cameRoot returns the root that came with a vTPM, nil for none. m.mu is held.
func (m *Manager) cameRoot(u UUID) *wrappedKey {
	if v := m.moving[u]; v != nil {
		return v.root
	}
	return nil
}

// keepMoving makes v what is known of its vTPM's moves. m.mu is held.
func (m *Manager) keepMoving(v *moving) {
	if v.isNeeded() {
		m.moving[v.uuid] = v
	} else {
		delete(m.moving, v.uuid)
	}
}
