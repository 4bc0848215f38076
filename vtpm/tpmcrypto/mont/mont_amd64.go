package mont

import "sync"

// montSquare sets z = x*x/R modulo m, where k is -1/m modulo 2^64, x is below
// m, and R is 2^1024. z may be x. It is in mont_amd64.s.
//
//go:noescape
func montSquare(z, x, m *Nat, k uint64)

// montMul sets z = x*y/R modulo m. z may be x or y.
//
//go:noescape
func montMul(z, x, y, m *Nat, k uint64)

// montDouble sets z = 2z modulo m if bit is 1, and leaves it if it is 0.
//
//go:noescape
func montDouble(z, m *Nat, bit uint64)

// cpuid7 returns EBX of CPUID function 7.
func cpuid7() uint32

// Available reports whether this processor has the instructions: BMI2 (MULX) and
// ADX (ADCX, ADOX), bits 8 and 19 of CPUID function 7's EBX. Neither needs the
// operating system's help.
var Available = sync.OnceValue(func() bool {
	const bmi2, adx = 1 << 8, 1 << 19
	return cpuid7()&(bmi2|adx) == bmi2|adx
})
