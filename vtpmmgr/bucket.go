package vtpmmgr

import (
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// A rate is what a vTPM may use of something: so much at once, and so much each
// second.
type rate struct {
	burst, perSecond float64
}

// What one vTPM may use. A guest that provisions itself writes some hundred times;
// one that goes on so gets its share, and the others theirs.
var (
	commitRate = rate{burst: 1024, perSecond: 32}

	// In a mode in which each commit wears the hardware TPM.
	strictRate = rate{burst: 64, perSecond: 0.1}

	// Orders of one group's approver, and in a mode in which each one wears the
	// hardware TPM. The administrator's are not counted.
	orderRate       = rate{burst: 256, perSecond: 1}
	strictOrderRate = rate{burst: 64, perSecond: 0.02}

	// Seconds of the hardware TPM, for LOAD and RANDOM.
	tpmRate = rate{burst: 2, perSecond: 0.05}
)

// A bucket is what one vTPM has left of a rate.
type bucket struct {
	used float64 // of the burst
	last time.Time
}

// refill counts the time that has passed.
func (b *bucket) refill(r rate, now time.Time) {
	b.used = max(0, b.used-now.Sub(b.last).Seconds()*r.perSecond)
	b.last = now
}

// take takes so much, if it is there.
func (b *bucket) take(r rate, n float64, now time.Time) bool {
	if b.refill(r, now); b.used+n > r.burst {
		return false
	}
	b.used += n
	return true
}

// shares are the buckets of one vTPM. They outlive its connections.
type shares struct{ commits, tpm bucket }

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

// leastShares is how many vTPMs' buckets are kept before anything is dropped.
const leastShares = 256

// dropShares drops the buckets that are full again: they are as new ones. m.mu is
// held.
func (m *Manager) dropShares(now time.Time) {
	commits := m.commitRate()
	for u, s := range m.shares {
		s.commits.refill(commits, now)
		s.tpm.refill(tpmRate, now)
		if s.commits.used == 0 && s.tpm.used == 0 {
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
