package hwtpm

import (
	"errors"
	"fmt"
	"slices"
)

// Approve returns a record with the operator's approval of other PCRs, which has
// these values signed. The caller writes the record that is returned. Each way by
// which the record opens today stays, but for the oldest of too many approvals.
func (r *Record) Approve(a *Approval, values []byte) (*Record, error) {
	if len(r.operator) == 0 {
		return nil, fmt.Errorf("%w: there is no operator's key", ErrApproval)
	}
	if err := a.verify(r.operator); err != nil {
		return nil, err
	}
	if err := a.IsOf(values); err != nil {
		return nil, err
	}
	next := r.clone()
	next.approvals = slices.DeleteFunc(next.approvals, func(b Approval) bool { return b.Policy == a.Policy })
	next.approvals = append(next.approvals, *a)
	if len(next.approvals) > maxApprovals {
		next.approvals = next.approvals[1:]
	}
	return next, nil
}

// clone returns a copy whose lists can be changed.
func (r *Record) clone() *Record {
	next := *r
	next.seals, next.approvals = slices.Clone(r.seals), slices.Clone(r.approvals)
	return &next
}

// CheckApproval has the TPM check the operator's signature: one that it does not
// take would be found useless only after the update.
func (t *TPM) CheckApproval(r *Record, a *Approval) error {
	return t.do("approval", func() error {
		t.drop()
		_, _, err := verifyInTPM(t.bus, r.operator, a)
		return err
	})
}

var errChanged = errors.New("the PCRs have changed since the start")

// Reseal returns, if Unlock opened the record by an approval, one whose first seal is for the
// PCRs as they are now. The seal before it stays, so that the system from before the
// update still starts; a seal that is older, and the approval, go. It returns nil if
// nothing is to be done. Before it returns it has opened the new record by its first
// seal. The caller writes it, and calls
// Resealed then.
func (t *TPM) Reseal(r *Record) (next *Record, err error) {
	if !t.byApproval.Load() {
		return nil, nil
	}
	err = t.do("seal", func() error {
		t.drop()
		next = nil
		key, by, err := t.unlock(r)
		if err != nil || by.approval == nil {
			return err
		}
		defer clear(key)
		srk, err := t.storageKey()
		if err != nil {
			return err
		}
		s, err := t.sealRoot(srk, r, by.approval.PCRs, key)
		t.flush(srk.handle)
		if err != nil {
			return err
		}
		if s.pcr != by.approval.Policy {
			return errChanged
		}
		resealed := r.clone()
		resealed.seals = append([]seal{*s}, r.seals...)[:min(maxSeals, 1+len(r.seals))]
		resealed.approvals = slices.DeleteFunc(resealed.approvals, func(a Approval) bool { return a.Policy == s.pcr })
		if by, err := t.tryKey(resealed, key); err != nil || by != (way{}) {
			return errors.Join(errChanged, err)
		}
		next = resealed
		return nil
	})
	return next, err
}

// Resealed notes that the record which Reseal returned is on the disk.
func (t *TPM) Resealed() { t.byApproval.Store(false) }
