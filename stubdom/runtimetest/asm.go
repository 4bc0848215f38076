//go:build tamago

package main

// undefined executes an undefined instruction.
func undefined()

// systemFault dereferences nil on the scheduler's stack.
func systemFault()

// readZero reads from address 8.
func readZero()

// systemOverflow overflows the scheduler's stack.
func systemOverflow()

// sink writes downwards from the stack pointer until it faults.
func sink()

// spinYMM counts down from n with a pattern in the upper half of a vector register,
// and returns what that half holds afterwards.
func spinYMM(n uint64) uint64
