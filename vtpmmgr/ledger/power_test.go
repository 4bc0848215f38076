package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

// A fate is what happens at one step of a machine: a sector written, a flush,
// or a command to the hardware TPM.
type fate int

const (
	cutBefore fate = iota // power is cut before it
	cutAfter              // a TPM command is carried out, then power is cut
	fates
)

// A machine is a disk and a chip that lose power together, at a chosen step.
type machine struct {
	disk  *blocktest.Power
	chip  *chip
	fate  fate
	at    int // step at which it happens; -1 never
	steps int
	off   bool
	event string // what the step was
}

func newMachine(disk []byte, c *chip, at int, f fate) *machine {
	m := &machine{disk: blocktest.NewPower(bytes.Clone(disk)), chip: c.kept(false), fate: f, at: at}
	m.disk.Before = func(flush bool) bool {
		event := "sector"
		if flush {
			event = "flush"
		}
		return !m.step(event)
	}
	m.chip.hook = func(extend bool) (bool, error) {
		if m.off {
			return false, blocktest.ErrPower
		}
		if !extend {
			return true, nil // to read changes nothing
		}
		if m.step("extend") {
			m.disk.Off()
			return m.fate == cutAfter, blocktest.ErrPower
		}
		return true, nil
	}
	return m
}

func (m *machine) step(event string) bool {
	m.off = m.off || m.steps == m.at
	if m.steps == m.at {
		m.event = event
	}
	m.steps++
	return m.off
}

// quiet is a configuration without a log: there are thousands of stores.
func quiet(d block.Device, c Anchor, m Mode) Config {
	return Config{Disk: d, Manager: testManager, Key: testKey, Anchor: c, Mode: m}
}

// after is what a store has after changes.
func after(have map[ID]string, changes []Change) map[ID]string {
	next := maps.Clone(have)
	for _, c := range changes {
		if delete(next, c.ID); c.Body != nil {
			next[c.ID] = string(c.Body)
		}
	}
	return next
}

// script is a life of a ledger, commit by commit.
func script() (all [][]Change) {
	var many []Change
	for n := range 20 {
		many = append(many, Change{id(n), body(n, 0)})
	}
	all = append(all, []Change{{id(0), body(0, 9)}}, many)
	for v := 1; v < 6; v++ {
		all = append(all,
			[]Change{{id(v), body(v, v)}},
			[]Change{{id(v), body(v, 10+v)}, {id(v + 1), body(v, 20+v)}},
			[]Change{{id(10 + v), nil}, {id(v), body(v, 30+v)}},
			[]Change{{id(30 + v), body(v, 0)}})
	}
	return all
}

// cuts runs the script in a mode, and at each of its commits cuts the power at
// each step, in each way. It returns how many cuts there were by class, and
// what was wrong after them.
func cuts(mode Mode, lie bool) (classes map[string]int, wrong []string) {
	classes = map[string]int{}
	m := newMachine(make([]byte, testDisk), &chip{}, -1, 0)
	if _, err := Format(quiet(m.disk, m.chip, mode)); err != nil {
		return nil, []string{err.Error()}
	}
	have := map[ID]string{}
	seed := uint64(0)
	all := script()
	if testing.Short() {
		all = all[:7]
	}
	for n, changes := range all {
		base, chip := m.disk.Cut(blocktest.Keep, 0), m.chip
		m = newMachine(base, chip, -1, 0)
		want := after(have, changes)
		for f := range fates {
			for at := 0; ; at++ {
				cut := newMachine(base, chip, at, f)
				cut.disk.IgnoreFlush = lie
				s, err := Open(quiet(cut.disk, cut.chip, mode))
				if err == nil {
					err = s.Commit(changes...)
				}
				if err == nil && !cut.off {
					break // the whole commit had fewer steps
				}
				answered := err == nil // the power was cut after the commit
				if f == cutAfter && cut.event != "extend" {
					continue
				}
				for loss := range blocktest.Losses {
					seed++
					class := fmt.Sprintf("%v %s %s", mode, cut.event, []string{"before", "after"}[f])
					if cut.event != "extend" || f == cutBefore {
						class += " " + loss.String()
					}
					classes[class]++
					bad := func(format string, a ...any) {
						wrong = append(wrong, fmt.Sprintf("commit %d, step %d, %s: ", n, at, class)+fmt.Sprintf(format, a...))
					}
					disk := cut.disk.Cut(loss, seed)
					state, got := reopen(disk, cut.chip, mode, bad)
					if state == nil {
						continue
					}
					if was := maps.Equal(got, have); !maps.Equal(got, want) && (!was || answered) {
						bad("neither the last answered state nor the one after it")
					}
					// And the machine goes on.
					next := after(got, []Change{{id(0), body(0, 77)}, {id(40), body(4, 0)}})
					if err := state.Commit(Change{id(0), body(0, 77)}, Change{id(40), body(4, 0)}); err != nil {
						bad("next commit: %v", err)
					}
					if !maps.Equal(contents(state), next) {
						bad("next commit is not there")
					}
				}
			}
		}
		s, err := Open(quiet(m.disk, m.chip, mode))
		if err == nil {
			err = s.Commit(changes...)
		}
		if err == nil && !maps.Equal(contents(s), want) {
			err = errors.New("no cut, and not what was committed")
		}
		if err != nil {
			return classes, append(wrong, err.Error())
		}
		have = want
	}
	return classes, wrong
}

// reopen starts the machine again, and cuts the power again while it starts,
// at each step: what a start repairs must not be what it needs.
func reopen(disk []byte, chip *chip, mode Mode, bad func(string, ...any)) (*Store, map[ID]string) {
	for at := 0; ; at++ {
		m := newMachine(disk, chip, at, cutBefore)
		s, err := Open(quiet(m.disk, m.chip, mode))
		if m.off {
			disk, chip = m.disk.Cut(blocktest.Tear, uint64(at)), m.chip
			continue
		}
		m.at = -1
		if err != nil {
			bad("start: %v", err)
			return nil, nil
		}
		if d := s.Damaged(); len(d) > 0 {
			bad("start: %v", &d[0])
		}
		return s, contents(s)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{{}, {Bounded: time.Hour}, {Daily: 54}} {
		classes, wrong := cuts(mode, false)
		total := 0
		for _, c := range slices.Sorted(maps.Keys(classes)) {
			t.Logf("%6d %s", classes[c], c)
			total += classes[c]
		}
		t.Logf("%6d cuts, %d failures", total, len(wrong))
		if total < 500 {
			t.Error("too few")
		}
		for i, w := range wrong {
			if i == 10 {
				break
			}
			t.Error(w)
		}
	}
}

// TestCutFindsLies shows that TestCut fails on a disk whose flush does nothing.
func TestCutFindsLies(t *testing.T) {
	t.Parallel()
	if _, wrong := cuts(Mode{}, true); len(wrong) == 0 {
		t.Error("a disk that does not flush was not found")
	} else {
		t.Logf("%d failures, first: %s", len(wrong), wrong[0])
	}
}

// TestOldDisks puts back every disk that there ever was, and every mixture of
// two with the sectors of the one before a place and of the other behind it.
func TestOldDisks(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s, err := Format(quiet(d, c, Mode{}))
	if err != nil {
		t.Fatal(err)
	}
	old := [][]byte{bytes.Clone(d.Data)}
	for _, changes := range script() {
		commit(t, s, changes...)
		old = append(old, bytes.Clone(d.Data))
	}
	now := old[len(old)-1]
	for n, o := range old[:len(old)-1] {
		if _, err := Open(quiet(&blocktest.Mem{Data: bytes.Clone(o)}, c, Mode{})); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("disk after commit %d: %v", n, err)
		} else if n == 3 {
			t.Log(err)
		}
	}
	want, harmed := contents(s), 0
	for n := range 3 {
		o := old[len(old)-2-n]
		for at := 0; at < testDisk; at += block.SectorSize {
			// One sector of before among those of now.
			mixed := bytes.Clone(now)
			copy(mixed[at:at+block.SectorSize], o[at:])
			m, err := Open(quiet(&blocktest.Mem{Data: mixed}, c, Mode{}))
			if err != nil {
				t.Fatalf("sector %d: %v", at/block.SectorSize, err)
			}
			got, damaged := contents(m), m.Damaged()
			if len(damaged) > 1 || len(got)+len(damaged) != len(want) {
				t.Fatalf("sector %d: %d items and %d damaged of %d", at/block.SectorSize, len(got), len(damaged), len(want))
			}
			harmed += len(damaged)
			for id, b := range got {
				if want[id] != b {
					t.Fatalf("sector %d: an old version of %v", at/block.SectorSize, id)
				}
			}
		}
	}
	if harmed == 0 {
		t.Error("no old sector harmed an item: nothing was tested")
	}
}

// TestForks makes two disks from one, and has the one go on that the hardware
// TPM did not follow.
func TestForks(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{{}, {Bounded: time.Hour}, {Daily: 54}} {
		d, c := blocktest.NewMem(testDisk), &chip{}
		s, err := Format(quiet(d, c, mode))
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, Change{id(1), body(1, 1)})
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		fork := blocktest.NewMem(testDisk)
		copy(fork.Data, d.Data)
		// Its commit is written, and the power is cut before it is anchored.
		dead := c.kept(true)
		dead.hook = func(extend bool) (bool, error) {
			if extend {
				return false, errors.New("cut")
			}
			return true, nil
		}
		o, err := Open(quiet(fork, dead, mode))
		if err != nil {
			t.Fatal(err)
		}
		err = o.Commit(Change{id(1), body(1, 2)})
		if (err == nil) != (mode.Bounded != 0) {
			t.Fatalf("%v: commit without an anchor: %v", mode, err)
		}
		// The first disk goes on.
		commit(t, s, Change{id(1), body(1, 3)})
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(quiet(fork, c, mode)); !errors.Is(err, ErrRolledBack) {
			t.Errorf("%v: the fork: %v", mode, err)
		}
		// Its root among the sectors of the disk that went on.
		for slot := range 2 {
			mixed := &blocktest.Mem{Data: bytes.Clone(d.Data)}
			for copyNo := range 2 {
				at := rootAt(slot, copyNo)
				copy(mixed.Data[at:at+rootSize], fork.Data[at:])
			}
			m, err := Open(quiet(mixed, c, mode))
			if err != nil {
				if !errors.Is(err, ErrRolledBack) {
					t.Errorf("%v: fork's root %d: %v", mode, slot, err)
				}
			} else if b, err := m.Get(id(1)); err != nil || !bytes.Equal(b, body(1, 3)) {
				t.Errorf("%v: fork's root %d was taken: %v", mode, slot, err)
			}
		}
	}
}

// TestEveryBit flips bits everywhere: at most one item is harmed, it is named
// with its place, and the others are served.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s, err := Format(quiet(d, c, Mode{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range script() {
		commit(t, s, changes...)
	}
	want := contents(s)
	step := 1
	if testing.Short() {
		step = 13
	}
	harmed := map[ID]bool{}
	flip := func(bit int) {
		disk := blocktest.NewMem(0)
		disk.Data = bytes.Clone(d.Data)
		disk.Data[bit/8] ^= 1 << (bit % 8)
		c := c.kept(false)
		m, err := Open(quiet(disk, c, Mode{}))
		if err != nil {
			t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
		damaged, got := m.Damaged(), contents(m)
		if len(damaged) > 1 || len(got)+len(damaged) != len(want) {
			t.Fatalf("byte %d: %d items, damaged %v", bit/8, len(got), damaged)
		}
		for _, x := range damaged {
			if int64(bit/8) < x.Offset || int64(bit/8) >= x.Offset+itemSize {
				t.Fatalf("byte %d: %v", bit/8, &x)
			}
			var why *Damage
			if _, err := m.Get(x.ID); !errors.As(err, &why) || !strings.Contains(err.Error(), x.ID.String()) || want[x.ID] == "" {
				t.Fatalf("byte %d: %v", bit/8, err)
			}
			harmed[x.ID] = true
			// It is repaired by its next commit.
			commit(t, m, Change{x.ID, body(1, 1)})
			if len(m.Damaged()) != 0 {
				t.Fatal("still damaged")
			}
		}
		for id, b := range got {
			if want[id] != b {
				t.Fatalf("byte %d: another body for %v", bit/8, id)
			}
		}
		if m, err = Open(quiet(disk, c, Mode{})); len(damaged) == 0 && (err != nil || !maps.Equal(contents(m), want)) {
			t.Fatalf("byte %d: opened again: %v", bit/8, err)
		}
	}
	// Each byte that is in use has some bit flipped, and each bit of the
	// roots, leaf headers and items where not -short.
	for at := 0; at < len(d.Data); at += step {
		if !isZero(d.Data[at&^511:at&^511+512]) || at%97 == 0 {
			flip(8*at + at%8)
		}
	}
	if step == 1 && len(harmed) != len(want) {
		t.Errorf("%d of %d items were harmed by some bit", len(harmed), len(want))
	}
}

// TestTwoDamages is about a leaf that is lost together with one of its items:
// nothing old is served for it, and others can be.
func TestTwoDamages(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(256<<10), &chip{}
	s := format(t, config(t, d, c))
	var all []Change
	for n := range 170 { // two leaves
		all = append(all, Change{id(n), body(n, 1)})
	}
	// The disk has room for the first leaf's items and 8 more.
	commit(t, s, all[:168]...)
	commit(t, s, Change{id(5), body(5, 2)})
	for slot := range 2 {
		d.Data[leafAt(0, slot)+100] ^= 1
	}
	d.Data[itemAt(5, s.places[5].slot)+100] ^= 1
	s = open(t, Config{Disk: d, Manager: testManager, Key: testKey, Anchor: c})
	if n := len(s.Damaged()); n != 168 || len(contents(s)) != 0 {
		t.Fatalf("%d damaged, %d served", n, len(contents(s)))
	}
	commit(t, s, Change{id(7), body(7, 3)})
	s = open(t, Config{Disk: d, Manager: testManager, Key: testKey, Anchor: c})
	if n := len(s.Damaged()); n != 167 || len(contents(s)) != 1 {
		t.Fatalf("later: %d damaged, %d served", n, len(contents(s)))
	}
}
