package block

import (
	"errors"
	"math/rand/v2"
	"sync"
)

// ErrPower is what a Power returns once the power is cut.
var ErrPower = errors.New("block: power is cut")

// A Power is a disk in memory with a write cache that a cut of power loses, for
// tests. What was written is read back at once, and is durable only after
// Flush. A cut may keep, drop, tear or mix what was not flushed: see Cut.
//
// Its methods may be called by several goroutines.
type Power struct {
	// Before, if set, is called before each sector is written and before
	// each flush, with what it will be: a write of n sectors has n calls. If
	// it reports false the power is cut there, before that sector.
	Before func(flush bool) bool

	// IgnoreFlush makes Flush do nothing, as a disk does that lies.
	IgnoreFlush bool

	mu      sync.Mutex
	durable []byte
	seen    []byte // durable, with the cache over it
	cache   []write
	off     bool
	written int64
	flushes int64
}

// A write is one sector in the cache.
type write struct {
	at   int64
	data [SectorSize]byte
}

// NewPower returns a disk that has the given bytes, which it takes over.
func NewPower(data []byte) *Power {
	return &Power{durable: data, seen: append([]byte(nil), data...)}
}

// Size returns the capacity in bytes.
func (p *Power) Size() int64 { return int64(len(p.durable)) }

// Written returns how many bytes were written and how often the disk was flushed.
func (p *Power) Written() (bytes, flushes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written, p.flushes
}

// ReadAt reads whole sectors.
func (p *Power) ReadAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := check(off, len(b), p.Size()); err != nil {
		return 0, err
	}
	if p.off {
		return 0, ErrPower
	}
	return copy(b, p.seen[off:]), nil
}

// step asks Before, without the lock.
func (p *Power) step(flush bool) error {
	p.mu.Lock()
	off := p.off
	p.mu.Unlock()
	if off {
		return ErrPower
	}
	if p.Before != nil && !p.Before(flush) {
		p.Off()
		return ErrPower
	}
	return nil
}

// WriteAt writes whole sectors, one after the other.
func (p *Power) WriteAt(b []byte, off int64) (int, error) {
	if err := check(off, len(b), p.Size()); err != nil {
		return 0, err
	}
	for n := 0; n < len(b); n += SectorSize {
		if err := p.step(false); err != nil {
			return n, err
		}
		w := write{at: off + int64(n), data: [SectorSize]byte(b[n:])}
		p.mu.Lock()
		copy(p.seen[w.at:], w.data[:])
		p.cache = append(p.cache, w)
		p.written += SectorSize
		p.mu.Unlock()
	}
	return len(b), nil
}

// Flush makes what was written durable.
func (p *Power) Flush() error {
	if err := p.step(true); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushes++
	if !p.IgnoreFlush {
		for _, w := range p.cache {
			copy(p.durable[w.at:], w.data[:])
		}
		p.cache = nil
	}
	return nil
}

// Off cuts the power: every later call fails with ErrPower.
func (p *Power) Off() {
	p.mu.Lock()
	p.off = true
	p.mu.Unlock()
}

// A Loss is what a cut of power does to writes that were not flushed.
type Loss int

// What happens to them. Dropping some and keeping others is also what a disk
// does that writes them in another order.
const (
	Drop    Loss = iota // none is on the disk
	Keep                // all are
	Prefix              // the first so many are, in order
	Reorder             // any of them are, whatever their order
	Tear                // as Reorder, and of some only a part of the sector
	Losses              // how many there are
)

func (l Loss) String() string {
	return [...]string{"drop", "keep", "prefix", "reorder", "tear"}[l]
}

// Cut cuts the power and returns what is on the disk afterwards, as bytes of
// their own. The same seed gives the same bytes.
func (p *Power) Cut(how Loss, seed uint64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	disk := append([]byte(nil), p.durable...)
	r := rand.New(rand.NewPCG(seed, uint64(how)))
	prefix := r.IntN(len(p.cache) + 1)
	for i, w := range p.cache {
		from, to := 0, SectorSize
		switch how {
		case Drop:
			continue
		case Prefix:
			if i >= prefix {
				continue
			}
		case Reorder:
			if r.IntN(2) == 0 {
				continue
			}
		case Tear:
			switch r.IntN(4) {
			case 0:
				continue
			case 1:
				to = r.IntN(SectorSize)
			case 2:
				from = r.IntN(SectorSize)
			}
		}
		copy(disk[w.at+int64(from):], w.data[from:to])
	}
	return disk
}
