package hwtpm

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// RetireOlder removes the pairs of indices that this manager had before those of
// the record: by a pair that stays, a disk from before the move would open again. A
// pair that cannot be removed is made useless instead: its extend index is extended
// by random bytes, so that no disk fits. It returns an error as long as neither works
// for some pair; the next start tries again. A pair whose counter is higher than the
// record's is of a move that is not done yet, and stays.
func (t *TPM) RetireOlder(r *Record) error {
	var left []error
	err := t.do("old indices", func() error {
		left = nil
		if t.secret == nil {
			return errLocked
		}
		own := t.secret.indices
		defer func() {
			t.dropAuth()
			t.secret.indices = own
		}()
		pairs, err := t.otherPairs(own)
		if err != nil || len(pairs) == 0 {
			return err
		}
		b, err := t.read(counterIndex, 8)
		if err != nil {
			return err
		}
		for _, pair := range pairs {
			t.dropAuth()
			t.secret.indices = pair
			if err := t.retirePair(binary.BigEndian.Uint64(b)); err != nil {
				left = append(left, fmt.Errorf("NV indices %#x: %w", pair, err))
			}
		}
		return nil
	})
	return errors.Join(append(left, err)...)
}

// otherPairs are the pairs besides own of which at least one index is defined. The
// bus can lie: each one is looked at before anything is done to it.
func (t *TPM) otherPairs(own [2]uint32) (pairs [][2]uint32, err error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: firstIndex, PropertyCount: 2 * maxPairs}.Execute(t.bus)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	for _, h := range list.Handle {
		if uint32(h) < firstIndex || uint32(h) >= firstIndex+2*maxPairs {
			continue
		}
		pair := pairAt((uint32(h) - firstIndex) / 2)
		if pair != own && (len(pairs) == 0 || pairs[len(pairs)-1] != pair) {
			pairs = append(pairs, pair)
		}
	}
	return pairs, nil
}

// retirePair retires the pair that t.secret names, if it is ours and its counter is
// below newest.
func (t *TPM) retirePair(newest uint64) error {
	extend, written := t.ours(t.secret, extendIndex)
	counter, counted := t.ours(t.secret, counterIndex)
	if !extend && !counter {
		return nil // another manager's
	}
	if counter && counted {
		b, err := t.read(counterIndex, 8)
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint64(b) >= newest {
			return nil
		}
	}
	err := t.undefine(t.secret)
	if err == nil || !extend || !written {
		return err
	}
	if there, _ := t.ours(t.secret, extendIndex); !there {
		return nil // what is left of the pair names no disk
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
