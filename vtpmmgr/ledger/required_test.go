package ledger

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// A lockable chip takes no writes of its NV memory while it is locked.
type lockable struct {
	*chip
	locked bool
}

func (c *lockable) Extend(d [32]byte) error {
	if c.locked {
		return errors.New("NV memory is locked")
	}
	return c.chip.Extend(d)
}

// TestRequired: a commit that needs a checkpoint has one when it returns, in every mode and
// without any credit: no old disk is opened, not even after a reset of the platform. While the
// NV index cannot be written it fails and changes nothing, and others go on.
func TestRequired(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{{}, budget, {Bounded: time.Hour}} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			d, c := blocktest.NewMem(testDisk), &lockable{chip: &chip{}}
			cfg := quiet(d, c.chip, mode)
			cfg.Anchor = c
			s, err := Format(cfg)
			if err != nil {
				t.Fatal(err)
			}
			required := Class{Urgency: Required}
			for n := range 3 * testDaily { // more than there is credit for
				commit(t, s, Change{id(1), body(1, n)})
				old := bytes.Clone(d.Data)
				if err := s.CommitAs(required, Change{id(2), body(2, n)}); err != nil {
					t.Fatal(err)
				}
				if n%testDaily != 0 {
					continue
				}
				newest := bytes.Clone(d.Data)
				copy(d.Data, old)
				c.reset()
				if _, err := Open(cfg); !errors.Is(err, ErrRolledBack) {
					t.Fatalf("commit %d: an old disk: %v", n, err)
				}
				copy(d.Data, newest)
				if s, err = Open(cfg); err != nil {
					t.Fatal(err)
				}
			}
			c.locked = true
			if err := s.CommitAs(required, Change{id(2), body(2, 9999)}); err == nil {
				t.Fatal("done without a checkpoint")
			}
			if b, err := s.Get(id(2)); err != nil || bytes.Equal(b, body(2, 9999)) {
				t.Errorf("after a commit that failed: %v, %v", b, err)
			}
			if mode != (Mode{}) {
				commit(t, s, Change{id(1), body(1, 9999)})
			}
		})
	}
}
