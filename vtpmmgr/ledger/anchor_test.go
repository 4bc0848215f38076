package ledger

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
)

var errChip = errors.New("chip is gone")

// TestDeadAnchor has the hardware TPM fail in each way: what is told is what is
// there, and later commits work when it is back.
func TestDeadAnchor(t *testing.T) {
	t.Parallel()
	for _, does := range []bool{false, true} { // the extension happens
		for _, dead := range []bool{false, true} { // nor can the value be read
			d, c := blocktest.NewMem(testDisk), &chip{}
			s := format(t, config(t, d, c))
			commit(t, s, Change{id(1), body(1, 1)})
			before := s.Sequence()
			c.hook = func(extend bool) (bool, error) {
				if extend {
					return does, errChip
				}
				if dead {
					return false, errChip
				}
				return true, nil
			}
			err := s.Commit(Change{id(1), body(1, 2)}, Change{id(2), body(2, 2)})
			switch {
			case dead:
				if !errors.Is(err, ErrInDoubt) || !errors.Is(err, errChip) {
					t.Fatalf("in doubt: %v", err)
				}
			case does:
				if err != nil {
					t.Fatalf("the value shows that it happened: %v", err)
				}
				continue
			default:
				if !errors.Is(err, errChip) || errors.Is(err, ErrInDoubt) {
					t.Fatalf("the value shows that it did not happen: %v", err)
				}
			}
			if b, _ := s.Get(id(1)); !bytes.Equal(b, body(1, 1)) || s.Sequence() != before || s.Health() == nil {
				t.Fatalf("memory changed by a failed commit; health %v", s.Health())
			}
			// Again, while it is dead: fails, and harms nothing.
			if err := s.Commit(Change{id(3), body(3, 1)}); !errors.Is(err, errChip) || errors.Is(err, ErrInDoubt) && dead {
				t.Fatalf("second commit: %v", err)
			}
			c.hook = nil
			err = s.Commit(Change{id(3), body(3, 3)})
			want := map[ID]string{id(1): string(body(1, 1)), id(3): string(body(3, 3))}
			if dead && does {
				if !errors.Is(err, ErrResolved) {
					t.Fatalf("it had happened: %v", err)
				}
				want[id(1)], want[id(2)] = string(body(1, 2)), string(body(2, 2))
				err = s.Commit(Change{id(3), body(3, 3)})
			}
			if err != nil || s.Health() != nil {
				t.Fatalf("when it is back: %v, health %v", err, s.Health())
			}
			for range 2 {
				if !maps.Equal(contents(s), want) {
					t.Fatalf("does %v, dead %v: not what was answered", does, dead)
				}
				s = open(t, config(t, d, c))
			}
		}
	}
}

// TestResolve asks for what is in doubt without a commit.
func TestResolve(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s := format(t, config(t, d, c))
	if err := s.Resolve(); err != nil {
		t.Fatal(err)
	}
	c.hook = func(extend bool) (bool, error) { return true, errChip }
	if err := s.Commit(Change{id(1), body(1, 1)}); !errors.Is(err, ErrInDoubt) {
		t.Fatal(err)
	}
	if err := s.Resolve(); !errors.Is(err, errChip) {
		t.Fatal(err)
	}
	c.hook = nil
	if err := s.Resolve(); !errors.Is(err, ErrResolved) {
		t.Fatal(err)
	}
	if b, err := s.Get(id(1)); err != nil || !bytes.Equal(b, body(1, 1)) {
		t.Fatal(err)
	}
	if err := s.Resolve(); err != nil {
		t.Fatal(err)
	}
}

// TestForeignExtension has somebody else extend the anchor: no commit is taken
// any more, and the disk is refused.
func TestForeignExtension(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s := format(t, config(t, d, c))
	c.Extend([32]byte{1})
	c.hook = func(extend bool) (bool, error) {
		if extend {
			return false, errChip
		}
		return true, nil
	}
	for range 2 {
		if err := s.Commit(Change{id(1), body(1, 1)}); !errors.Is(err, ErrRolledBack) {
			t.Fatal(err)
		}
	}
	c.hook = nil
	if _, err := Open(config(t, d, c)); !errors.Is(err, ErrRolledBack) {
		t.Fatal(err)
	}
}

// A badDisk fails to write or to flush when told to.
type badDisk struct {
	*blocktest.Mem
	write, flush bool
}

func (d *badDisk) WriteAt(b []byte, at int64) (int, error) {
	if d.write {
		return 0, errors.New("disk: write")
	}
	return d.Mem.WriteAt(b, at)
}

func (d *badDisk) Flush() error {
	if d.flush {
		return errors.New("disk: flush")
	}
	return nil
}

// TestBadDisk has the disk refuse: nothing is told to have happened, and all
// goes on when it is well again. A power cut follows each failure and must show
// what was answered.
func TestBadDisk(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{{}, {Bounded: time.Hour}} {
		d, c := &badDisk{Mem: blocktest.NewMem(testDisk)}, &chip{}
		s, err := Format(quiet(d, c, mode))
		if err != nil {
			t.Fatal(err)
		}
		want := map[ID]string{}
		for v := range 20 {
			d.write, d.flush = v%4 == 1, v%4 == 3
			changes := []Change{{id(v % 3), body(v, v)}, {id(10 + v), body(0, v)}}
			if v%5 == 4 {
				changes = append(changes, Change{id(v % 2), nil})
			}
			err := s.Commit(changes...)
			if (err != nil) != (d.write || d.flush) {
				t.Fatalf("commit %d: %v", v, err)
			}
			if err == nil {
				want = after(want, changes)
			}
			if !maps.Equal(contents(s), want) {
				t.Fatalf("commit %d: %v", v, err)
			}
			d.write, d.flush = false, false
			if err != nil && mode != (Mode{}) {
				continue // it may be there after a cut
			}
			m, err := Open(quiet(&blocktest.Mem{Data: bytes.Clone(d.Data)}, c.kept(false), mode))
			if err != nil || !maps.Equal(contents(m), want) {
				t.Fatalf("after commit %d: %v", v, err)
			}
		}
	}
}

// TestFailedRoot is about a bounded commit whose last flush failed, so that its root
// is on the disk all the same: whatever is cut afterwards, it or what was
// answered is there whole.
func TestFailedRoot(t *testing.T) {
	t.Parallel()
	mode := Mode{Bounded: time.Hour}
	for at := 0; ; at++ {
		d := &badDisk{Mem: blocktest.NewMem(testDisk)}
		c := &chip{}
		s, err := Format(quiet(d, c, mode))
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, Change{id(1), body(1, 1)})
		flushes := 0
		f := &flushCounter{badDisk: d, fail: func() bool { flushes++; return flushes == 2 }}
		s.cfg.Disk = f
		if err := s.Commit(Change{id(1), body(1, 2)}); err == nil {
			t.Fatal("no failure")
		}
		s.cfg.Disk = d
		n := 0
		d.Hook = func() error {
			if n++; n > at {
				return errors.New("cut")
			}
			return nil
		}
		err = s.Commit(Change{id(1), body(1, 3)})
		m, open := Open(quiet(&blocktest.Mem{Data: bytes.Clone(d.Data)}, c.kept(false), mode))
		if open != nil || len(m.Damaged()) > 0 {
			t.Fatalf("cut at %d: %v", at, open)
		}
		b, _ := m.Get(id(1))
		if !bytes.Equal(b, body(1, 3)) && (err == nil || !bytes.Equal(b, body(1, 2)) && !bytes.Equal(b, body(1, 1))) {
			t.Fatalf("cut at %d: not a state that was", at)
		}
		if err == nil {
			if at < 30 {
				t.Fatalf("%d sectors only", at)
			}
			return
		}
	}
}

type flushCounter struct {
	*badDisk
	fail func() bool
}

func (f *flushCounter) Flush() error {
	if f.fail() {
		return errors.New("disk: flush")
	}
	return f.badDisk.Flush()
}

// TestBounded is about when a bounded ledger is anchored, and what an old disk
// can take back.
func TestBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		mode := Mode{Bounded: limit}
		d, c := blocktest.NewMem(testDisk), &chip{}
		s, err := Format(quiet(d, c, mode))
		if err != nil {
			t.Fatal(err)
		}
		n := c.n
		commit(t, s, Change{id(1), body(1, 1)})
		old := bytes.Clone(d.Data)
		commit(t, s, Change{id(1), body(1, 2)})
		if c.n != n {
			t.Fatal("anchored at once")
		}
		// Within the time an old disk is taken: that is what bounded means.
		if m, err := Open(quiet(&blocktest.Mem{Data: bytes.Clone(old)}, c.kept(false), mode)); err != nil {
			t.Fatal(err)
		} else if b, _ := m.Get(id(1)); !bytes.Equal(b, body(1, 1)) {
			t.Fatal("not the old state")
		} else if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(limit)
		synctest.Wait()
		if c.n != n+1 {
			t.Fatalf("%d extensions after the time", c.n-n)
		}
		if _, err := Open(quiet(&blocktest.Mem{Data: old}, c.kept(false), mode)); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("after it: %v", err)
		}

		// A TPM that is gone: commits go on for that time, and no longer.
		c.hook = func(bool) (bool, error) { return false, errChip }
		commit(t, s, Change{id(1), body(1, 3)})
		time.Sleep(limit / 2)
		commit(t, s, Change{id(1), body(1, 4)})
		time.Sleep(limit / 2)
		err = s.Commit(Change{id(1), body(1, 5)})
		if err == nil || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), errChip.Error()) {
			t.Fatalf("overdue: %v", err)
		}
		c.hook = nil
		n = c.n
		time.Sleep(limit + time.Second)
		synctest.Wait()
		if c.n != n+1 {
			t.Fatal("not anchored by itself when the TPM was back")
		}
		commit(t, s, Change{id(1), body(1, 6)})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(quiet(d, c, mode)); err != nil {
			t.Fatal(err)
		}
		if b, _ := s.Get(id(1)); !bytes.Equal(b, body(1, 6)) || c.n != n+2 {
			t.Fatalf("closed without an anchor: %d", c.n-n)
		}

		// To strict: what was pending is anchored with it, and from then on all is.
		commit(t, s, Change{id(1), body(1, 7)})
		old = bytes.Clone(d.Data)
		if err := s.SetMode(Mode{}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(quiet(&blocktest.Mem{Data: old}, c.kept(false), mode)); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("strict: %v", err)
		}
		n = c.n
		commit(t, s, Change{id(1), body(1, 8)})
		if c.n != n+1 || s.Mode() != (Mode{}) {
			t.Fatal("not strict")
		}
		// Back: not by the configuration, nor without an order.
		if s, err = Open(quiet(d, c, mode)); err != nil || s.Mode() != (Mode{}) {
			t.Fatalf("a weaker mode was taken: %v", err)
		}
		if err := s.SetMode(mode); !errors.Is(err, ErrWeaker) || s.Mode() != (Mode{}) {
			t.Fatalf("a weaker mode was set: %v", err)
		}
		if err := s.Weaken(mode); err != nil || s.Mode() != mode {
			t.Fatalf("back: %v", err)
		}
		if err := s.Weaken(Mode{Bounded: MaxBounded + 1}); err == nil {
			t.Fatal("longer than the longest")
		}
		if s, err = Open(quiet(d, c, mode)); err != nil || s.Mode() != mode {
			t.Fatalf("back: %v", err)
		}
	})
}

// TestRestore takes an old disk on purpose.
func TestRestore(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s := format(t, config(t, d, c))
	commit(t, s, Change{id(1), body(1, 1)})
	backup := bytes.Clone(d.Data)
	commit(t, s, Change{id(1), body(1, 2)})
	now := bytes.Clone(d.Data)

	old := &blocktest.Mem{Data: bytes.Clone(backup)}
	old.Data[rootAt(0, 0)+200] ^= 1 // a copy that is damaged: Peek repairs nothing
	old.Data[rootAt(1, 0)+200] ^= 1
	bent := bytes.Clone(old.Data)
	if b, err := Peek(config(t, old, &chip{}), id(1)); err != nil || !bytes.Equal(b, body(1, 1)) || !bytes.Equal(old.Data, bent) {
		t.Fatalf("peek: %v", err)
	}
	copy(old.Data, backup)
	if _, err := Restore(config(t, &blocktest.Mem{Data: bytes.Clone(now)}, c), 9); !errors.Is(err, ErrLast) || !bytes.Equal(now, d.Data) {
		t.Fatalf("of the last one: %v", err)
	}
	if _, err := Restore(config(t, old, c), 1); err == nil || !bytes.Equal(old.Data, backup) {
		t.Fatalf("into the same epoch: %v", err)
	}
	// The chip dies before it takes the restored state: refused still.
	c.hook = func(extend bool) (bool, error) {
		if extend {
			return false, errChip
		}
		return true, nil
	}
	if _, err := Restore(config(t, old, c), 2); !errors.Is(err, errChip) {
		t.Fatal(err)
	}
	c.hook = nil
	if _, err := Open(config(t, old, c)); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("half restored: %v", err)
	}
	r, err := Restore(config(t, old, c), 3)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if b, err := r.Get(id(1)); err != nil || !bytes.Equal(b, body(1, 1)) || r.Epoch() != 3 {
			t.Fatalf("epoch %d: %v", r.Epoch(), err)
		}
		commit(t, r, Change{id(2), body(2, 2)})
		r = open(t, config(t, old, c))
	}
	for name, disk := range map[string][]byte{"the disk that was given up": now, "the backup itself": backup} {
		if _, err := Open(config(t, &blocktest.Mem{Data: disk}, c)); !errors.Is(err, ErrRolledBack) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
