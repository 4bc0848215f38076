package ledger

import "time"

// An Urgency is how soon a checkpoint should cover a commit. It matters in budget mode
// only.
type Urgency int

const (
	Normal Urgency = iota
	Urgent         // orders, failed authorizations: what an attacker would like to roll back
	Idle           // never causes a checkpoint by itself
)

// A Class classifies a commit. Source is the item of the vTPM that caused it, whose share
// of urgent checkpoints is limited, or zero for the manager's own commits.
type Class struct {
	Urgency Urgency
	Source  ID
}

// need returns the credit that a checkpoint for a commit of class c needs.
func (c Class) need(daily int) int64 {
	switch {
	case c.Urgency == Normal:
		return max(oneWrite, fullCredit(daily)/2)
	case c.Source != (ID{}):
		return vtpmCredit(daily)
	}
	return oneWrite
}

// vtpmCredit is the credit that a checkpoint for a vTPM needs: its own write and a quarter
// of the budget, which is reserved for orders.
func vtpmCredit(daily int) int64 { return oneWrite + max(oneWrite, fullCredit(daily)/4) }

// A share is one vTPM's share of urgent checkpoints, in thousandths of a write.
type share struct {
	left    int64
	counted time.Time
}

const (
	shareFull  = 2 * oneWrite
	shareParts = 16 // of the daily budget
)

// grant reports whether a commit of class c becomes a checkpoint at once, and if so
// deducts it from its source's share.
func (s *Store) grant(c Class, daily int) bool {
	if c.Urgency != Urgent || s.wear.credit < c.need(daily) || time.Now().Before(s.nvRetry) {
		return false
	}
	if c.Source == (ID{}) {
		return true
	}
	h, now := s.shares[c.Source], time.Now()
	if h == nil {
		h = &share{left: shareFull, counted: now}
		s.shares[c.Source] = h
	}
	rate := max(1, fullCredit(daily)/shareParts)
	gained := int64(min(now.Sub(h.counted), 400*day).Milliseconds()) * rate / day.Milliseconds()
	if h.left+gained >= shareFull {
		h.left, h.counted = shareFull, now
	} else if gained > 0 {
		h.left += gained
		h.counted = now
	}
	if h.left < oneWrite {
		return false
	}
	h.left -= oneWrite
	return true
}
