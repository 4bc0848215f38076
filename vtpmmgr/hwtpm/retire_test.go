package hwtpm

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// A movedChip has the old and the new pair of indices of one manager, and the pair of
// another.
type movedChip struct {
	*chip
	old, now, other *Record
	value           [32]byte // of the old extend index
}

func newMovedChip(t *testing.T) *movedChip {
	t.Helper()
	w := &movedChip{chip: newChip(t)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.old, err = open(t, w.chip).Create([16]byte{1}, newKey(), Policy{}, nil)
	must(err)
	w.other, err = open(t, w.chip).Create([16]byte{2}, newKey(), Policy{}, nil)
	must(err)
	tpm := w.unlocked(t, w.old)
	_, err = tpm.Successor(w.old, 0)
	must(err)
	w.now, err = tpm.Succeed(w.old, nil)
	must(err)
	w.value, err = w.unlocked(t, w.old).Anchor().Value()
	must(err)
	return w
}

func (w *movedChip) unlocked(t *testing.T, r *Record) *TPM {
	t.Helper()
	tpm := open(t, w.chip)
	if _, err := tpm.Unlock(r); err != nil {
		t.Fatal(err)
	}
	return tpm
}

// fits reports whether the old extend index is as the old disk wants it.
func (w *movedChip) fits(t *testing.T) bool {
	t.Helper()
	v, err := w.unlocked(t, w.old).Anchor().Value()
	return err == nil && v == w.value
}

// usable returns nil if the indices of a record can be written.
func (w *movedChip) usable(t *testing.T, r *Record) error {
	t.Helper()
	tpm := w.unlocked(t, r)
	return errors.Join(tpm.Anchor().Extend([32]byte{9}), tpm.Count())
}

// TestRetireCut fails each command of the removal of the old indices: that they are gone
// is said only if they are, and the next removal ends what the first began.
func TestRetireCut(t *testing.T) {
	t.Parallel()
	step := 1
	if testing.Short() {
		step = 7
	}
	for kind, fail := range map[string]func(w *movedChip, command []byte) ([]byte, error){
		"dead": func(*movedChip, []byte) ([]byte, error) { return nil, errors.New("dead") },
		"lost": func(w *movedChip, b []byte) ([]byte, error) {
			w.d.Execute(0, bytes.Clone(b))
			return nil, errors.New("lost")
		},
		"reset": func(w *movedChip, b []byte) ([]byte, error) {
			w.d.Execute(0, bytes.Clone(b))
			w.reset()
			return nil, errors.New("reset")
		},
		"error": func(*movedChip, []byte) ([]byte, error) {
			return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1}, nil // TPM_RC_FAILURE
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for at, hit := 0, true; hit && at < 60; at += step {
				w := newMovedChip(t)
				tpm := w.unlocked(t, w.now)
				n := 0
				w.hook = func(_ int, b []byte) ([]byte, error) {
					if n++; n <= at || n > at+1 && kind != "dead" {
						return nil, nil
					}
					return fail(w, b)
				}
				next, err := tpm.RetireOlder(w.now)
				w.hook, hit = nil, n > at
				if err == nil && w.fits(t) {
					t.Errorf("command %d fails: said to be gone, and the old disk fits", at)
				}
				if next == nil {
					next = w.now
				}
				if err != nil && next.older == 0 {
					t.Errorf("command %d fails: %v, and the record names no place", at, err)
				}
				if next, err := w.unlocked(t, w.now).RetireOlder(next); err != nil || w.fits(t) || next != nil && next.older != 0 {
					t.Errorf("command %d fails: at the next start %v, old disk fits %v", at, err, w.fits(t))
				}
				if err := errors.Join(w.usable(t, w.now), w.usable(t, w.other)); err != nil {
					t.Errorf("command %d fails: %v", at, err)
				}
			}
		})
	}
}

// TestRetireByOld: a record of before a move removes nothing of the pair that came
// after, however high its own counter is; and it is told apart.
func TestRetireByOld(t *testing.T) {
	t.Parallel()
	w := newMovedChip(t)
	tpm := w.unlocked(t, w.old)
	for range 5 {
		if err := tpm.Count(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tpm.CheckNewest(w.old); !errors.Is(err, ErrMoved) {
		t.Errorf("the old record: %v", err)
	}
	// Even if it names all places, as the record of an earlier move does.
	w.old.older = ^uint64(0)
	if _, err := tpm.RetireOlder(w.old); err != nil {
		t.Error(err)
	}
	for _, r := range []*Record{w.now, w.other} {
		if err := w.usable(t, r); err != nil {
			t.Error(err)
		}
		if err := w.unlocked(t, r).CheckNewest(r); err != nil {
			t.Error(err)
		}
	}
}

// TestGenerations moves again and again: each record is refused after the next move, and
// nothing is left but the last pair.
func TestGenerations(t *testing.T) {
	t.Parallel()
	w := newMovedChip(t)
	records := []*Record{w.old, w.now}
	for range 3 {
		r := records[len(records)-1]
		tpm := w.unlocked(t, r)
		if _, err := tpm.Successor(r, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := tpm.Succeed(r, ErrMoved); !errors.Is(err, ErrMoved) {
			t.Fatalf("not ordered: %v", err)
		}
		if err := w.unlocked(t, r).CheckNewest(r); err != nil {
			t.Fatalf("before the order: %v", err)
		}
		next, err := tpm.Succeed(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, again(t, next))
		for i, r := range records {
			if err := w.unlocked(t, r).CheckNewest(r); errors.Is(err, ErrMoved) != (i < len(records)-1) {
				t.Errorf("generation %d of %d: %v", i, len(records)-1, err)
			}
		}
	}
	last := records[len(records)-1]
	next, err := w.unlocked(t, last).RetireOlder(last)
	if err != nil || next == nil || next.older != 0 {
		t.Fatalf("%v, %+v", err, next)
	}
	for _, r := range []*Record{last, w.other} {
		if err := w.usable(t, r); err != nil {
			t.Error(err)
		}
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: firstIndex, PropertyCount: 2 * maxPairs}.Execute(w.chip)
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := r.CapabilityData.Data.Handles(); len(list.Handle) != 4 {
		t.Errorf("indices %x are left", list.Handle)
	}
}
