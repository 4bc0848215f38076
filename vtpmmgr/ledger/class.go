package ledger

import "time"

// An Urgency is how soon a checkpoint should cover a commit. It matters in budget mode
// only.
type Urgency int

const (
	Normal   Urgency = iota
	Urgent           // orders, failed authorizations: what an attacker would like to roll back
	Idle             // never causes a checkpoint by itself
	Required         // is not done without a checkpoint of its own, in any mode
)

// A Class classifies a commit. Source is the item of the vTPM that caused it, or of the
// group whose approver ordered it, and Tenant the item of the group if that has an approver.
// The share of each of urgent checkpoints is limited. Source is zero for the manager's own
// commits, and Tenant for what is no tenant's.
type Class struct {
	Urgency Urgency
	Source  ID
	Tenant  ID
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

// A share is what one source or tenant has left of urgent checkpoints, in thousandths of a
// write.
type share struct {
	left    int64
	counted time.Time
}

// A shareKey names a share: a group's item is both a source, of orders, and a tenant.
type shareKey struct {
	id     ID
	tenant bool
}

// size returns how much a share has at most, and gains in a day.
func (k shareKey) size(daily int) (full, perDay int64) {
	if k.tenant {
		return 8 * oneWrite, max(1, fullCredit(daily)/4)
	}
	return 2 * oneWrite, max(1, fullCredit(daily)/16)
}

// gain adds what a share of key k gained since it was counted last, and reports whether it
// is full.
func (h *share) gain(k shareKey, daily int, now time.Time) bool {
	full, perDay := k.size(daily)
	gained := int64(min(now.Sub(h.counted), 400*day).Milliseconds()) * perDay / day.Milliseconds()
	if h.left+gained >= full {
		h.left, h.counted = full, now
	} else if gained > 0 {
		h.left += gained
		h.counted = now
	}
	return h.left == full
}
