package hwtpm

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// CheckNewest returns ErrMoved if the extend index of a later generation than the
// record's was written. That happens only once the administrator has ordered a move; and
// a disk of before it must not open by the old indices, should they still be there.
func (t *TPM) CheckNewest(r *Record) error {
	return t.do("NV indices", func() error {
		if t.secret == nil {
			return errLocked
		}
		handles, err := t.definedHandles()
		if err != nil {
			return err
		}
		for _, h := range handles {
			if err := t.checkOlder(h, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkOlder returns ErrMoved if an extend index is of a later generation.
func (t *TPM) checkOlder(handle uint32, r *Record) error {
	if (handle-firstIndex)%2 != extendIndex {
		return nil
	}
	p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(handle)}.Execute(t.bus)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil
	}
	if err != nil {
		return err
	}
	at := pairAt((handle - firstIndex) / 2)
	if _, written, ok := t.secret.generationOf(extendIndex, at, p.NVName.Buffer, r.generation+1); ok && written {
		return fmt.Errorf("%w: %#x", ErrMoved, handle)
	}
	return nil
}

// definedHandles returns the handles in the range of the pairs at which there is an index.
func (t *TPM) definedHandles() (handles []uint32, err error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: firstIndex, PropertyCount: 2 * maxPairs}.Execute(t.bus)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	for _, h := range list.Handle {
		if uint32(h) >= firstIndex && uint32(h) < firstIndex+2*maxPairs {
			handles = append(handles, uint32(h))
		}
	}
	return handles, nil
}

// RetireOlder removes the pairs of indices of earlier generations, at the places that the
// record names: by a pair that stays, a disk from before the move would open again. A pair that
// cannot be removed is made useless instead: its extend index is extended by random bytes,
// so that no disk fits. It returns the record without the pairs of which that was
// seen, nil if it is the same, and an error as long as others are left; the next start
// tries again. An attacker on the bus can feign that a pair is gone.
func (t *TPM) RetireOlder(r *Record) (next *Record, err error) {
	var left []error
	older := r.older
	err = t.do("old indices", func() error {
		left = nil
		if older == 0 {
			return nil
		}
		if t.secret == nil {
			return errLocked
		}
		own := t.secret.pair
		defer func() {
			t.dropAuth()
			t.secret.pair = own
		}()
		for n := range uint32(maxPairs) {
			if older&(1<<n) == 0 {
				continue
			}
			if err := t.retireAt(n, r.generation); err != nil {
				left = append(left, fmt.Errorf("NV indices %#x: %w", pairAt(n), err))
			} else {
				older &^= 1 << n
			}
		}
		return nil
	})
	if older != r.older {
		next = r.clone()
		next.older = older
	}
	return next, errors.Join(append(left, err)...)
}

// RemoveUnused removes the indices that Successor made for a move that was never ordered:
// a chip has room for few counters. They let no disk in.
func (t *TPM) RemoveUnused(r *Record) error {
	return t.do("unused indices", func() error {
		if t.secret == nil {
			return errLocked
		}
		handles, err := t.definedHandles()
		if err != nil {
			return err
		}
		for _, h := range handles {
			if err := t.removeUnused(h, pairAt((h-firstIndex)/2), r.generation+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// removeUnused removes the pair at a place, which has an index at handle h, if it is of
// generation first or a later one. The caller knows by CheckNewest that no such move was
// ordered, but the bus can hide that: so it looks again.
func (t *TPM) removeUnused(h uint32, at [2]uint32, first uint32) error {
	p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(h)}.Execute(t.bus)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil
	}
	if err != nil {
		return err
	}
	one := *t.secret
	g, _, ok := one.generationOf(int((h-firstIndex)%2), at, p.NVName.Buffer, first)
	if !ok {
		return nil
	}
	one.pair = pair{at, g}
	if _, written, err := t.ours(&one, extendIndex); err != nil || written {
		return err
	}
	return t.undefine(&one)
}

// retireAt retires a pair, if it is of an earlier generation. Each of the two indices
// may be there without the other.
func (t *TPM) retireAt(n, generation uint32) error {
	for which := range 2 {
		p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(pairAt(n)[which])}.Execute(t.bus)
		if errors.Is(err, tpm2.TPMRCHandle) {
			continue
		}
		if err != nil {
			return err
		}
		g, _, ok := t.secret.generationOf(which, pairAt(n), p.NVName.Buffer, 0)
		if !ok || g >= generation {
			continue // another manager's, or of a later move
		}
		t.dropAuth()
		t.secret.pair = pair{pairAt(n), g}
		if err := t.retirePair(); err != nil {
			return err
		}
	}
	return nil
}

// retirePair removes the pair of t.secret, or makes it useless.
func (t *TPM) retirePair() error {
	err := t.undefine(t.secret)
	if err == nil {
		return nil
	}
	there, written, e := t.ours(t.secret, extendIndex)
	if e != nil {
		return errors.Join(err, e)
	}
	if !there {
		return nil // what is left of the pair names no disk
	}
	if !written {
		return err
	}
	if e := t.prepare(); e != nil {
		return errors.Join(err, e)
	}
	var noise [32]byte
	rand.Read(noise[:])
	if e := t.write(extendIndex, true, noise); e != nil {
		return errors.Join(err, e)
	}
	t.log("hwtpm: NV indices %#x cannot be removed (%v), and were made useless", t.secret.indices, err)
	return nil
}
