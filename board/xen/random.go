//go:build tamago

package xen

import (
	"crypto/sha512"
	"encoding/binary"
	"sync/atomic"

	_ "unsafe" // for go:linkname
)

// defined in port_amd64.s
func hasRDRAND() bool
func rdrand() (v uint64, ok bool)

// The generator. Each block of output is a hash of the key, a number that is
// never used twice, and 256 fresh bits of the processor; then the key is
// replaced by another such hash, so that a later key tells nothing of earlier
// output. There is no lock: it is asked on the scheduler's stack too. One
// processor runs, so at worst two goroutines share a key, but not a number.
//
// What Seed was given is kept apart from the key and counts in each hash: a
// goroutine that was preempted while it replaced the key cannot undo it.
var generator struct {
	key    [sha512.Size]byte
	seed   [sha512.Size]byte
	number atomic.Uint64
}

// Purposes of a hash.
const (
	forOutput = 'o'
	forKey    = 'k'
	forSeed   = 's'
)

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {
	if !hasRDRAND() {
		fatal("xen: the processor has no RDRAND: there would be no secrets\n")
	}
	for range 4 {
		generator.key = hash(forKey)
	}
}

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) {
	for len(b) > 0 {
		block := hash(forOutput)
		b = b[copy(b, block[:]):]
		clear(block[:])
	}
	generator.key = hash(forKey)
}

// Seed mixes entropy of another source, such as the hardware TPM, into the
// generator. It can only add to it. It is for one goroutine at a time.
func Seed(b []byte) {
	old := hash(forSeed)
	generator.seed = sha512.Sum512(append(old[:], b...))
}

// hash returns the hash for a purpose of key, seed, number and processor's
// random bits.
func hash(purpose byte) [sha512.Size]byte {
	var in [1 + 8 + sha512.Size + sha512.Size + 32]byte
	in[0] = purpose
	binary.LittleEndian.PutUint64(in[1:], generator.number.Add(1))
	p := in[9:]
	p = p[copy(p, generator.key[:]):]
	p = p[copy(p, generator.seed[:]):]
	for i := 0; i < 32; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], random64())
	}
	out := sha512.Sum512(in[:])
	clear(in[:])
	return out
}

// random64 ends the domain if the processor fails ten times in a row (Intel,
// Digital Random Number Generator guide, section 5.2.1).
func random64() uint64 {
	for range 10 {
		if v, ok := rdrand(); ok {
			return v
		}
	}
	fatal("xen: RDRAND has failed\n")
	return 0
}
