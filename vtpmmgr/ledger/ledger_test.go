package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

const testDisk = 128 << 10

var (
	testManager = ID{1, 2, 3}
	testKey     = bytes.Repeat([]byte{7}, KeySize)
)

// A chip is an anchor as a hardware TPM has it.
type chip struct {
	mu    sync.Mutex
	value [32]byte
	n     int // extensions of it
	pcr   [32]byte
	links int
	boot  uint64 // how often it was reset
	seen  uint64 // at the last Chain, and one more

	// Hook, if set, is asked before each command: whether it is carried out,
	// and whether it is answered.
	hook func(extend bool) (does bool, err error)
}

func (c *chip) ask(extend bool) (bool, error) {
	if c.hook == nil {
		return true, nil
	}
	return c.hook(extend)
}

func (c *chip) Value() ([32]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.ask(false)
	return c.value, err
}

func (c *chip) Extend(d [32]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	does, err := c.ask(true)
	if does {
		c.value = sha256.Sum256(append(c.value[:], d[:]...))
		c.n++
	}
	return err
}

func (c *chip) Chain() ([32]byte, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.ask(false)
	if err == nil {
		c.seen = c.boot + 1
	}
	return c.pcr, c.boot, err
}

func (c *chip) Link(d [32]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen != c.boot+1 {
		return errReset
	}
	does, err := c.ask(true)
	if does {
		c.pcr = sha256.Sum256(append(c.pcr[:], d[:]...))
		c.links++
	}
	return err
}

var errReset = errors.New("chip was reset")

// reset clears what a loss of power or a reset of the platform clears.
func (c *chip) reset() { c.pcr, c.boot = [32]byte{}, c.boot+1 }

// kept is a copy of the chip, or what a loss of power leaves of it.
func (c *chip) kept(power bool) *chip {
	k := &chip{value: c.value, pcr: c.pcr, boot: c.boot}
	if !power {
		k.reset()
	}
	return k
}

func config(t testing.TB, d block.Device, c Anchor) Config {
	return Config{Disk: d, Manager: testManager, Key: testKey, Anchor: c, Log: t.Logf}
}

func id(n int) ID { return ID{0xAA, byte(n >> 8), byte(n)} }

func body(n, version int) []byte {
	return bytes.Repeat([]byte{byte(n), byte(version), byte(version >> 8)}, 60)
}

func format(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Format(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func commit(t testing.TB, s *Store, c ...Change) {
	t.Helper()
	if err := s.Commit(c...); err != nil {
		t.Fatal(err)
	}
}

// contents are the whole items of a store.
func contents(s *Store) map[ID]string {
	m := map[ID]string{}
	for id, b := range s.All() {
		m[id] = string(b)
	}
	return m
}

func TestLife(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	if _, err := Open(config(t, d, c)); !errors.Is(err, ErrBlank) {
		t.Fatalf("blank disk: %v", err)
	}
	s := format(t, config(t, d, c))
	want := map[ID]string{}
	for n := range 20 {
		commit(t, s, Change{id(n), body(n, 0)})
		want[id(n)] = string(body(n, 0))
	}
	for v := 1; v < 5; v++ {
		commit(t, s, Change{id(v), body(v, v)}, Change{id(2 * v), body(2*v, v)}, Change{id(10 + v), nil})
		want[id(v)], want[id(2*v)] = string(body(v, v)), string(body(2*v, v))
		delete(want, id(10+v))
	}
	commit(t, s, Change{id(5), []byte{}}, Change{id(99), nil})
	want[id(5)] = ""
	big := bytes.Repeat([]byte{9}, MaxBody)
	commit(t, s, Change{id(6), big})
	want[id(6)] = string(big)
	for _, c := range []Change{{id(7), append(big, 1)}, {ID{}, nil}} {
		if err := s.Commit(Change{id(1), nil}, c); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: %v", c.ID, err)
		}
	}
	for range 2 {
		if got := contents(s); !maps.Equal(got, want) {
			t.Fatalf("have %d items, want %d", len(got), len(want))
		}
		if _, err := s.Get(id(11)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("deleted: %v", err)
		}
		if b, err := s.Get(id(5)); err != nil || b == nil || len(b) != 0 {
			t.Fatalf("empty body: %v, %v", b, err)
		}
		if s.Epoch() != 1 || len(s.Damaged()) != 0 || s.Health() != nil {
			t.Fatalf("epoch %d, damaged %v", s.Epoch(), s.Damaged())
		}
		s = open(t, config(t, d, c))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(Change{id(1), nil}); !errors.Is(err, ErrClosed) {
		t.Fatalf("closed: %v", err)
	}
}

// TestFull fills a ledger, is refused one more, and takes one for a deleted one.
func TestFull(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(MinArea), &chip{}
	s := format(t, config(t, d, c))
	room := s.Room()
	if room != 16 {
		t.Fatalf("room for %d", room)
	}
	for n := range room {
		commit(t, s, Change{id(n), body(n, 1)})
	}
	if err := s.Commit(Change{id(1), nil}, Change{id(100), body(0, 1)}); !errors.Is(err, ErrFull) {
		t.Fatalf("one more: %v", err)
	}
	if _, err := s.Get(id(1)); err != nil {
		t.Fatal("half of a refused commit was done")
	}
	commit(t, s, Change{id(1), nil})
	commit(t, s, Change{id(100), body(0, 1)})
	s = open(t, config(t, d, c))
	if len(contents(s)) != room || s.Room() != 0 {
		t.Fatalf("%d items", len(contents(s)))
	}
}

// TestErased looks for a deleted body: neither slot has it.
func TestErased(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s := format(t, config(t, d, c))
	commit(t, s, Change{id(1), body(1, 1)})
	commit(t, s, Change{id(1), body(1, 2)})
	old := [][]byte{bytes.Clone(d.Data[itemAt(0, 0):][:itemSize]), bytes.Clone(d.Data[itemAt(0, 1):][:itemSize])}
	commit(t, s, Change{id(1), nil})
	for _, o := range old {
		if bytes.Contains(d.Data, o[itemSealed:]) {
			t.Error("a sector of a deleted item is still there")
		}
	}
}

// TestGroup has many goroutines commit: all is there, and the anchor was
// extended less often than there were commits.
func TestGroup(t *testing.T) {
	t.Parallel()
	const writers, each = 32, 20
	d, c := blocktest.NewMem(256<<10), &chip{}
	c.hook = func(bool) (bool, error) {
		time.Sleep(time.Millisecond) // others come meanwhile, on one processor too
		return true, nil
	}
	s := format(t, config(t, d, c))
	var wait sync.WaitGroup
	for n := range writers {
		wait.Go(func() {
			for v := range each {
				if err := s.Commit(Change{id(n), body(n, v)}); err != nil {
					t.Error(err)
				}
				if b, err := s.Get(id(n)); err != nil || !bytes.Equal(b, body(n, v)) {
					t.Errorf("%d: %v", n, err)
				}
			}
		})
	}
	wait.Wait()
	t.Logf("%d commits, %d extensions", writers*each, c.n)
	if c.n >= writers*each {
		t.Error("no two commits shared an extension")
	}
	c.hook = nil
	s = open(t, config(t, d, c))
	for n := range writers {
		if b, err := s.Get(id(n)); err != nil || !bytes.Equal(b, body(n, each-1)) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// TestConstant compares what a commit writes with few items and with many.
func TestConstant(t *testing.T) {
	t.Parallel()
	var bytesPer []int64
	for _, items := range []int{1, 150, 3000} {
		d := blocktest.NewPower(make([]byte, 4<<20))
		s := format(t, config(t, d, &chip{}))
		var all []Change
		for n := range items {
			all = append(all, Change{id(n), body(n, 1)})
		}
		commit(t, s, all...)
		before, flushes := d.Written()
		commit(t, s, Change{id(0), body(0, 2)})
		after, flushed := d.Written()
		bytesPer = append(bytesPer, after-before)
		if flushed-flushes != 2 {
			t.Errorf("%d flushes", flushed-flushes)
		}
	}
	if bytesPer[0] != bytesPer[1] || bytesPer[0] != bytesPer[2] || bytesPer[0] != itemSize+leafSize+2*rootSize {
		t.Errorf("a commit writes %v bytes", bytesPer)
	}
}

// TestSize holds the figures of the documentation.
func TestSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int64
		want int
	}{{MinArea - 1024, 15}, {MinArea, 16}, {192 << 10, 136}, {leavesAt + groupSize, 168}, {leavesAt + groupSize + 2*leafSize, 168}, {32 << 20, MaxItems}} {
		if got := capacity(c.size); got != c.want {
			t.Errorf("%d bytes: room for %d, want %d", c.size, got, c.want)
		}
	}
	if MaxItems != 20664 || MaxBody != 428 || groupSize != 184<<10 {
		t.Errorf("%d items, %d bytes, group of %d", MaxItems, MaxBody, groupSize)
	}
	if rootAt(1, 1)+rootSize > leavesAt || leafEntries+perLeaf*entrySize > leafSize || rootHashes+hashSize*maxLeaves > rootTag || rootHashes1+32*maxLeaves > rootTag {
		t.Error("parts overlap")
	}
}

// TestForeign is about disks of others, and of later versions.
func TestForeign(t *testing.T) {
	t.Parallel()
	d, c := blocktest.NewMem(testDisk), &chip{}
	s := format(t, config(t, d, c))
	commit(t, s, Change{id(1), body(1, 1)})
	other := config(t, d, c)
	other.Manager = ID{9}
	if _, err := Open(other); !errors.Is(err, ErrForeign) {
		t.Errorf("another manager: %v", err)
	}
	other = config(t, d, c)
	other.Key = bytes.Repeat([]byte{8}, KeySize)
	if _, err := Open(other); !errors.Is(err, ErrDamaged) {
		t.Errorf("another key: %v", err)
	}
	other = config(t, d, &chip{})
	if _, err := Open(other); !errors.Is(err, ErrRolledBack) {
		t.Errorf("another TPM: %v", err)
	}
	other = config(t, d, &chip{hook: func(bool) (bool, error) { return false, errors.New("dead") }})
	if _, err := Open(other); err == nil || errors.Is(err, ErrRolledBack) {
		t.Errorf("a dead TPM: %v", err)
	}
	small := &blocktest.Mem{Data: d.Data[:MinArea-512]}
	if _, err := Open(config(t, small, c)); err == nil {
		t.Error("a small disk was opened")
	}
	later := &blocktest.Mem{Data: bytes.Clone(d.Data)}
	for slot := range 2 {
		for copy := range 2 {
			later.Data[rootAt(slot, copy)+rootVersion+3] = version + 1
		}
	}
	if _, err := Open(config(t, later, c)); !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
	if _, err := Open(config(t, d, c)); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func ExampleMode() {
	fmt.Println(Mode{}, Mode{Bounded: 5e9})
	// Output: strict bounded=5s
}
