package ledger

import "time"

// maxShares is how many shares are kept before those that are full again are dropped: a
// tenant may have vTPMs enrolled and destroyed all the time.
const maxShares = 4096

// share returns a share with what it gained until now.
func (s *Store) share(k shareKey, daily int, now time.Time) *share {
	h := s.shares[k]
	if h == nil {
		if len(s.shares) >= maxShares {
			s.dropShares(daily, now)
		}
		full, _ := k.size(daily)
		h = &share{left: full, counted: now}
		s.shares[k] = h
	}
	h.gain(k, daily, now)
	return h
}

func (s *Store) dropShares(daily int, now time.Time) {
	for k, h := range s.shares {
		if h.gain(k, daily, now) {
			delete(s.shares, k)
		}
	}
}

// sharesOf returns the shares of a commit's source and tenant, or false if one of them is
// used up.
func (s *Store) sharesOf(c Class, daily int) (shares []*share, ok bool) {
	for _, k := range []shareKey{{c.Source, false}, {c.Tenant, true}} {
		if k.id == (ID{}) {
			continue
		}
		h := s.share(k, daily, time.Now())
		if h.left < oneWrite {
			return nil, false
		}
		shares = append(shares, h)
	}
	return shares, true
}

// grant reports whether a commit of class c becomes a checkpoint at once, and if so
// deducts it from the shares of its source and its tenant.
func (s *Store) grant(c Class, daily int) bool {
	if c.Urgency != Urgent || s.wear.credit < c.need(daily) || time.Now().Before(s.nvRetry) {
		return false
	}
	shares, ok := s.sharesOf(c, daily)
	for _, h := range shares {
		h.left -= oneWrite
	}
	return ok
}

// later returns the class by which a commit that did not become a checkpoint waits for one:
// one whose share is used up is as urgent as any other.
func (s *Store) later(c Class, daily int) Class {
	if c.Urgency == Urgent {
		if _, ok := s.sharesOf(c, daily); !ok {
			c.Urgency = Normal
		}
	}
	return c
}
