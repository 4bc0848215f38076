//go:build tamago

package qemu

import (
	_ "unsafe" // for go:linkname

	"stubtpm/board/cpu"
)

var rng struct {
	hardware bool
	state    uint64
}

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {
	rng.hardware = cpu.HasRDRAND()
	if !rng.hardware {
		print("qemu: no RDRAND: random numbers are for tests only\n")
	}
}

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) {
	for len(b) > 0 {
		v := random64()
		for i := 0; i < 8 && len(b) > 0; i++ {
			b[0] = byte(v)
			b = b[1:]
			v >>= 8
		}
	}
}

// random64 panics if RDRAND fails. Without RDRAND it is splitmix64, mixed with the
// time stamp counter.
func random64() uint64 {
	if !rng.hardware {
		rng.state += 0x9e3779b97f4a7c15 ^ cpu.TSC()
		z := rng.state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	v, ok := cpu.Random()
	if !ok {
		panic("qemu: RDRAND has failed")
	}
	return v
}
