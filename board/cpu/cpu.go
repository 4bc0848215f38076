//go:build tamago

// Package cpu has the instructions of 64-bit x86 that a board needs and Go does
// not have.
package cpu

// Out8 writes a byte to an I/O port.
//
//go:nosplit
func Out8(port uint16, v uint8)

// Out32 writes 4 bytes to an I/O port.
//
//go:nosplit
func Out32(port uint16, v uint32)

// TSC returns the time stamp counter. It is read after all earlier loads have
// completed (Intel SDM volume 2, RDTSC).
//
//go:nosplit
func TSC() uint64

// HasRDRAND reports whether the processor has RDRAND.
func HasRDRAND() bool

// Random returns 64 random bits of RDRAND. It reports false if the processor
// failed ten times in a row, which means that its generator is broken (Intel,
// Digital Random Number Generator guide, section 5.2.1).
func Random() (v uint64, ok bool) {
	for range 10 {
		if v, ok = rdrand(); ok {
			break
		}
	}
	return v, ok
}

func rdrand() (v uint64, ok bool)
