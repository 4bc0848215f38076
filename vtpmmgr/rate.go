package vtpmmgr

import (
	"errors"
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// errRate says that a vTPM asks for more than its share of the hardware TPM.
var errRate = errors.New("vtpmmgr: more than this vTPM's share of the hardware TPM")

// sharesOf returns those of a vTPM. m.mu is held.
func (m *Manager) sharesOf(u UUID) *shares {
	s := m.shares[u]
	if s == nil {
		if len(m.shares) >= max(leastShares, 2*len(m.records)) {
			m.dropShares(time.Now())
		}
		s = &shares{}
		m.shares[u] = s
	}
	return s
}

// mayOrder takes an order from the bucket of a group, and reports whether it was
// there.
func (m *Manager) mayOrder(group uint32) bool {
	r := orderRate
	if m.store.Mode() == (ledger.Mode{}) {
		r = strictOrderRate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.groupOrders[group]
	if b == nil {
		b = &bucket{}
		m.groupOrders[group] = b
	}
	return b.take(r, 1, time.Now())
}

// mayTransfer takes a move from the bucket of a group, and reports whether it was there. The
// administrator's are not counted.
func (m *Manager) mayTransfer(g *group) bool {
	if g.Approver == [32]byte{} {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.groupMoves[g.ID]
	if b == nil {
		b = &bucket{}
		m.groupMoves[g.ID] = b
	}
	return b.take(moveRate, 1, time.Now())
}

// leastShares is how many vTPMs' buckets are kept before anything is dropped.
const leastShares = 256

// dropShares drops the buckets that are full again: they are as new ones. m.mu is
// held.
func (m *Manager) dropShares(now time.Time) {
	commits := m.commitRate()
	for u, s := range m.shares {
		s.commits.refill(commits, now)
		s.tpm.refill(tpmRate, now)
		s.certificates.refill(certifyRate, now)
		if s.commits.used == 0 && s.tpm.used == 0 && s.certificates.used == 0 {
			delete(m.shares, u)
		}
	}
}

// commitRate is what each vTPM may commit in the present mode.
func (m *Manager) commitRate() rate {
	switch c := m.cfg.CommitRate; {
	case c != 0:
		return rate{burst: commitRate.burst / commitRate.perSecond * c, perSecond: c}
	case m.store.Mode() == (ledger.Mode{}):
		return strictRate
	}
	return commitRate
}

// mayCommit takes a commit from a vTPM's bucket, and reports whether it was
// there.
func (m *Manager) mayCommit(u UUID) bool {
	r := m.commitRate()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sharesOf(u).commits.take(r, 1, time.Now())
}

// random returns random bytes of the hardware TPM for a vTPM, and counts the
// time that they take there.
func (m *Manager) random(u UUID, n int) ([]byte, error) {
	m.mu.Lock()
	may := m.sharesOf(u).tpm.take(tpmRate, 0, time.Now())
	m.mu.Unlock()
	if !may {
		return nil, errRate
	}
	b, took, err := m.tpm.RandomTimed(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sharesOf(u).tpm.used += took.Seconds()
	return b, err
}
