//go:build tamago

package qemu

import _ "unsafe" // for go:linkname

// defined in port_amd64.s
func rdtsc() uint64
func hasRDRAND() bool
func rdrand() (v uint64, ok bool)

var rng struct {
	hardware bool
	state    uint64
}

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {
	rng.hardware = hasRDRAND()
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

// random64 panics if the hardware fails ten times in a row (Intel, Digital
// Random Number Generator guide, section 5.2.1).
func random64() uint64 {
	if !rng.hardware {
		// splitmix64, stirred by the time.
		rng.state += 0x9e3779b97f4a7c15 ^ rdtsc()
		z := rng.state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	for range 10 {
		if v, ok := rdrand(); ok {
			return v
		}
	}
	panic("qemu: RDRAND has failed")
}
