package blocktest

import (
	"errors"
	"math/rand/v2"
	"sync"

	"stubtpm/drivers/block"
)

// ErrPower is what a Power returns once its power is cut.
var ErrPower = errors.New("blocktest: power is cut")

// A Power is a disk in memory with a write cache that a power cut loses. What
// was written is read back at once, and is durable only after Flush. A cut may
// keep, drop, tear or mix what was not flushed: see Cut.
//
// Its methods are safe for concurrent use.
type Power struct {
	// Before, if set, is called before each sector is written and before
	// each flush; flush reports which. A write of n sectors makes n calls.
	// If it returns false the power is cut there, before that sector.
	Before func(flush bool) bool

	// IgnoreFlush makes Flush do nothing, as on a disk that reports a flush
	// it did not do.
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
	data [block.SectorSize]byte
}

// NewPower returns a disk that holds data, and takes ownership of it.
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
	if err := block.CheckRange(off, len(b), p.Size()); err != nil {
		return 0, err
	}
	if p.off {
		return 0, ErrPower
	}
	return copy(b, p.seen[off:]), nil
}

// step calls Before without holding the lock.
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
	if err := block.CheckRange(off, len(b), p.Size()); err != nil {
		return 0, err
	}
	for n := 0; n < len(b); n += block.SectorSize {
		if err := p.step(false); err != nil {
			return n, err
		}
		w := write{at: off + int64(n), data: [block.SectorSize]byte(b[n:])}
		p.mu.Lock()
		copy(p.seen[w.at:], w.data[:])
		p.cache = append(p.cache, w)
		p.written += block.SectorSize
		p.mu.Unlock()
	}
	return len(b), nil
}

// Flush makes completed writes durable.
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

// A Loss selects what a power cut does to writes that were not flushed.
type Loss int

// The losses. Dropping some writes and keeping others is also what a disk does
// that reorders them.
const (
	Drop    Loss = iota // none reaches the disk
	Keep                // all do
	Prefix              // the first few do, in order
	Reorder             // any subset does
	Tear                // as Reorder, and some sectors are written in part
	Losses              // the number of losses
)

func (l Loss) String() string {
	return [...]string{"drop", "keep", "prefix", "reorder", "tear"}[l]
}

// Cut cuts the power and returns a copy of what is on the disk afterwards. The
// same seed gives the same bytes.
func (p *Power) Cut(how Loss, seed uint64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	disk := append([]byte(nil), p.durable...)
	r := rand.New(rand.NewPCG(seed, uint64(how)))
	prefix := r.IntN(len(p.cache) + 1)
	for i, w := range p.cache {
		from, to := 0, block.SectorSize
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
				to = r.IntN(block.SectorSize)
			case 2:
				from = r.IntN(block.SectorSize)
			}
		}
		copy(disk[w.at+int64(from):], w.data[from:to])
	}
	return disk
}
