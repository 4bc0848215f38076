//go:build tamago

// Runtimetest is a unikernel that tests the port of Go's runtime to bare metal:
// scheduler, timers, interrupts, memory and faults, and one known answer of each
// cryptographic package in use. It runs on QEMU (board/qemu) and its exit code
// is 0 if all tests passed. The test of this package, in qemu_test.go, builds
// and runs it.
//
// Kernel parameters, on the command line:
//
//	gc=60s         how long the garbage collector is kept under pressure (default 2s)
//	scenario=NAME  instead of the tests: end in a certain way, see scenario_unsafe.go
package main
