package launch

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A counter counts bytes that are read.
type counter struct {
	io.ReaderAt
	n int
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.n += n
	return n, err
}

// TestCache measures guests that are alike or differ in a byte, in any order and by any
// banks: a Cache never changes what is measured.
func TestCache(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	var c Cache
	banks := tpmcrypto.Hashes()
	for i := range 600 {
		g := newGuest("quiet", bytes.Repeat([]byte{byte(random.IntN(3))}, 1+random.IntN(2)))
		g.memory[testProgram+200] = byte(random.IntN(100)) // more than are remembered
		random.Shuffle(len(banks), func(i, j int) { banks[i], banks[j] = banks[j], banks[i] })
		some := banks[:1+random.IntN(len(banks))]
		want, err := g.measure(some...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Measure(bytes.NewReader(g.memory), g.start, testEntry, options, some)
		if err != nil {
			t.Fatal(err)
		}
		sameEvents(t, got.Log.Events, want.Log.Events)
		if got.Program != want.Program {
			t.Fatalf("guest %d: program %x, want %x", i, got.Program, want.Program)
		}
		for _, e := range got.Log.Events { // whoever has a Launch may change it
			for _, d := range e.Digests {
				clear(d.Sum)
			}
		}
		if len(c.known) > maxCached {
			t.Fatalf("%d contents are remembered", len(c.known))
		}
	}
}

// TestCacheReads: a guest that is measured for the first time is read once, also beside
// others.
func TestCacheReads(t *testing.T) {
	t.Parallel()
	var c Cache
	for i, size := range []int{1, pageSize, 3 * pageSize} {
		g := newGuest("", bytes.Repeat([]byte{1}, size))
		copy(g.memory[testProgram-i*pageSize:], "longer") // the program, too, has another size
		plain, cached := &counter{bytes.NewReader(g.memory), 0}, &counter{bytes.NewReader(g.memory), 0}
		if _, err := Measure(plain, g.start, testEntry, options, twoBanks); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := c.Measure(cached, g.start, testEntry, options, twoBanks); err != nil {
				t.Fatal(err)
			}
			if cached.n != plain.n {
				t.Errorf("%d bytes are read, want %d", cached.n, plain.n)
			}
			cached.n = 0
		}
		if len(c.known) != 2*(i+1) {
			t.Errorf("%d contents are known, want %d", len(c.known), 2*(i+1))
		}
	}
	if d := c.find(1, make([]byte, 32), []tcg.TPMAlgID{tcg.TPMAlgSHA256}); d != nil {
		t.Errorf("found %s", fmt.Sprint(d))
	}
}
