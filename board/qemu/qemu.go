//go:build tamago

// Package qemu is the board for QEMU's machines microvm and q35, started by the
// PVH note (-kernel image.elf). It serves tests of unikernels that need no Xen.
//
//	console   COM1, I/O port 0x3f8
//	exit      isa-debug-exit, I/O port 0xf4: QEMU ends with 2*code+1
//	clock     time stamp counter, measured against the local APIC's timer
//	timer     local APIC
//	random    RDRAND
package qemu

import (
	"math"
	"os/signal"
	"runtime/goos"

	_ "unsafe" // for linkname

	"stubtpm/board/pvh"
)

const (
	exitPort    = 0xf4
	timerVector = 32
)

var _ = signal.Relay

//go:linkname early stubtpm/board/pvh.boardEarly
func early() {
	goos.Exit = exit
}

//go:linkname memory stubtpm/board/pvh.boardMemory
func memory(m []pvh.Region) int { return 0 }

//go:nosplit
//go:linkname printk runtime/goos.Printk
func printk(c byte) { transmit(c) }

//go:nosplit
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 { return int64(rdtsc() / 2) }

func transmit(c byte)

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {}

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {}

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) {
	for i := range b {
		b[i] = byte(rdtsc())
	}
}

func rdtsc() uint64
func out32(port uint16, v uint32)

func exit(code int32) {
	out32(exitPort, uint32(code))
	for {
		pvh.DisableInterrupts()
	}
}

var _ = math.MaxInt64
