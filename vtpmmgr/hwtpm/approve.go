package hwtpm

import (
	"errors"
	"fmt"
	"slices"
)

// Approve returns a record with the operator's approval of other PCRs, which has
// these values signed. The caller writes the record that is returned. Each way by
// which the record opens today stays, with two exceptions: an approval gives way to one
// of the same system that is of the same PCRs or more, and the oldest goes where there
// are too many. An approval has to be of all PCRs that the root key is sealed to now:
// one that left any out would let in systems that nobody looked at. Once it is in the
// record it waits, whatever the root key is sealed to later.
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
	if sealed := r.seals[0].pcrs; mask(a.PCRs)&mask(sealed) != mask(sealed) {
		return nil, fmt.Errorf("%w: it is of PCRs %v, and the root key is sealed to %v", ErrApproval, a.PCRs, sealed)
	}
	next := r.clone()
	next.approvals = slices.DeleteFunc(next.approvals, func(b Approval) bool { return a.replaces(&b, values) })
	next.approvals = append(next.approvals, *a)
	if len(next.approvals) > maxApprovals {
		next.approvals = next.approvals[1:]
	}
	return next, nil
}

// replaces reports whether an approval of these values is of all PCRs of another one,
// with the same values there.
func (a *Approval) replaces(b *Approval, values []byte) bool {
	var same []byte
	for i, pcr := range a.PCRs {
		if slices.Contains(b.PCRs, pcr) {
			same = append(same, values[32*i:][:32]...)
		}
	}
	return len(same) == 32*len(b.PCRs) && pcrPolicy(b.PCRs, same) == b.Policy
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
