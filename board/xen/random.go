//go:build tamago

package xen

import (
	"crypto/sha512"
	"encoding/binary"
	"sync/atomic"

	_ "unsafe" // for go:linkname

	"stubtpm/board/cpu"
)

// generator is the random number generator. Each block of output is a hash of the
// key, a number that is never used twice, and 256 new bits of the processor; then
// the key is replaced by another such hash, so that a later key reveals nothing of
// earlier output. There is no lock, since it is also called on the scheduler's
// stack. Only one processor runs: two goroutines may share a key, but never a
// number.
//
// The seed is kept apart from the key and is part of each hash: a goroutine that
// was preempted while it replaced the key cannot undo Seed.
var generator struct {
	key    [sha512.Size]byte
	seed   [sha512.Size]byte
	number atomic.Uint64
}

// The purposes of a hash.
const (
	forOutput = 'o'
	forKey    = 'k'
	forSeed   = 's'
)

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {
	if !cpu.HasRDRAND() {
		fatal("xen: the processor has no RDRAND, which keys need\n")
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
// generator. It cannot weaken it. It is not safe for concurrent use.
func Seed(b []byte) {
	old := hash(forSeed)
	generator.seed = sha512.Sum512(append(old[:], b...))
}

// hash returns the hash of purpose, number, key, seed and the processor's random
// bits.
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

// random64 ends the domain if RDRAND fails.
func random64() uint64 {
	v, ok := cpu.Random()
	if !ok {
		fatal("xen: RDRAND has failed\n")
	}
	return v
}
