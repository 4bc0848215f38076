package launch

import (
	"io"
	"slices"
	"sync"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
)

// A Cache remembers the digests of programs and modules. Those that it knows are hashed by
// SHA-256 only: the other digests follow from that one, or SHA-256 is broken. The guests of
// a host often start the same files. The zero value is ready for use. A Cache is safe for
// concurrent use.
type Cache struct {
	mu    sync.Mutex
	known []cached // the last used first
}

// A cached entry is one content with its digests.
type cached struct {
	size    uint64 // of what was hashed
	digests []eventlog.Digest
}

// maxCached is how many contents a Cache remembers, each with some 500 bytes.
const maxCached = 64

// Measure is like the function Measure.
func (c *Cache) Measure(mem io.ReaderAt, start, entry uint64, o Options, banks []tcg.TPMAlgID) (*Launch, error) {
	return measure(c.digest, mem, start, entry, o, banks)
}

// digest is like the function digest. Contents of a size that is not known are read once.
func (c *Cache) digest(text []byte, mem io.ReaderAt, address, size uint64, algs []tcg.TPMAlgID) ([]eventlog.Digest, error) {
	total := uint64(len(text)) + size
	if !slices.Contains(algs, tcg.TPMAlgSHA256) {
		return digest(text, mem, address, size, algs)
	}
	if len(algs) > 1 && c.has(total) {
		d, err := digest(text, mem, address, size, []tcg.TPMAlgID{tcg.TPMAlgSHA256})
		if err != nil {
			return nil, err
		}
		if known := c.find(total, d[0].Sum, algs); known != nil {
			return known, nil
		}
	}
	d, err := digest(text, mem, address, size, algs)
	if err == nil {
		c.add(total, d)
	}
	return d, err
}

// has reports whether contents of a size are known.
func (c *Cache) has(size uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.known, func(k cached) bool { return k.size == size })
}

// find returns the digests of a known content, or nil.
func (c *Cache) find(size uint64, sha256 []byte, algs []tcg.TPMAlgID) []eventlog.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.known {
		if k.size != size || !slices.Equal(sum(k.digests, tcg.TPMAlgSHA256), sha256) {
			continue
		}
		var found []eventlog.Digest
		for _, a := range algs {
			if s := sum(k.digests, a); s != nil {
				found = append(found, eventlog.Digest{Alg: a, Sum: slices.Clone(s)})
			}
		}
		if len(found) == len(algs) {
			copy(c.known[1:], c.known[:i])
			c.known[0] = k
			return found
		}
	}
	return nil
}

// add remembers digests.
func (c *Cache) add(size uint64, d []eventlog.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var own []eventlog.Digest
	for _, d := range d {
		own = append(own, eventlog.Digest{Alg: d.Alg, Sum: slices.Clone(d.Sum)})
	}
	c.known = slices.Insert(c.known, 0, cached{size, own})
	c.known = c.known[:min(len(c.known), maxCached)]
}

// sum returns the digest of an algorithm, or nil.
func sum(digests []eventlog.Digest, a tcg.TPMAlgID) []byte {
	for _, d := range digests {
		if d.Alg == a {
			return d.Sum
		}
	}
	return nil
}
