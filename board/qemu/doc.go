//go:build tamago

// Package qemu is the board of QEMU's machines microvm and q35, started by the
// PVH note (-kernel image.elf). It serves unikernels that need no Xen, such as
// tests. A program only has to import it.
//
//	console   COM1, I/O port 0x3f8
//	exit      isa-debug-exit at I/O port 0xf4: QEMU ends with status 2*code+1
//	clock     time stamp counter; the date from the CMOS clock, if there is one
//	timer     local APIC, one-shot
//	random    RDRAND; without it, for tests only, the jitter of the TSC
//
// The machine needs -device isa-debug-exit,iobase=0xf4,iosize=4 -serial stdio,
// and for microvm rtc=on. Frequencies are QEMU's: its local APIC's timer counts
// nanoseconds.
package qemu
