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
	if !r.covers(a) {
		return nil, fmt.Errorf("%w: it is of PCRs %v, and the root key is sealed to %v", ErrApproval, a.PCRs, r.seals[0].pcrs)
	}
	next := r.clone()
	next.approvals = slices.DeleteFunc(next.approvals, func(b Approval) bool { return b.Policy == a.Policy })
	next.approvals = append(next.approvals, *a)
	if len(next.approvals) > maxApprovals {
		next.approvals = next.approvals[1:]
	}
	return next, nil
}

// covers reports whether an approval is of all PCRs that the root key is sealed to:
// one that left any out would let in systems that nobody looked at.
func (r *Record) covers(a *Approval) bool {
	return mask(a.PCRs)&mask(r.seals[0].pcrs) == mask(r.seals[0].pcrs)
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

// Reseal returns, if Unlock opened the record by anything but its first seal, one whose
// first seal is for the PCRs as they are now. The seals of the systems that ran before
// stay behind it, as many as there is room for; an approval that became a seal goes.
// It returns nil if nothing is to be done. Before it returns it has opened the new
// record by its first seal. The caller writes it, and calls Resealed then.
func (t *TPM) Reseal(r *Record) (next *Record, err error) {
	if !t.byOther.Load() {
		return nil, nil
	}
	err = t.do("seal", func() error {
		t.drop()
		next = nil
		key, by, err := t.unlock(r)
		if err != nil {
			return err
		}
		defer clear(key)
		first, err := t.sealOf(r, by, key)
		if err != nil {
			return err
		}
		resealed := r.clone()
		resealed.seals = slices.DeleteFunc(resealed.seals, func(s seal) bool { return s.pcr == first.pcr })
		resealed.seals = append([]seal{*first}, resealed.seals...)
		resealed.seals = resealed.seals[:min(maxSeals, len(resealed.seals))]
		resealed.approvals = slices.DeleteFunc(resealed.approvals, func(a Approval) bool { return a.Policy == first.pcr })
		if by, err := t.tryKey(resealed, key); err != nil || by != (way{}) {
			return errors.Join(errChanged, err)
		}
		next = resealed
		return nil
	})
	return next, err
}

// sealOf returns the seal by which a record opened, or makes one of the approval by
// which it did.
func (t *TPM) sealOf(r *Record, by way, key []byte) (*seal, error) {
	if by.approval == nil {
		return &r.seals[by.seal], nil
	}
	srk, err := t.storageKey()
	if err != nil {
		return nil, err
	}
	defer t.flush(srk.handle)
	s, err := t.sealRoot(srk, r, by.approval.PCRs, key)
	if err == nil && s.pcr != by.approval.Policy {
		err = errChanged
	}
	return s, err
}

// Resealed notes that the record which Reseal returned is on the disk.
func (t *TPM) Resealed() { t.byOther.Store(false) }
