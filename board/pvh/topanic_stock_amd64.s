//go:build tamago && stockgo

#include "textflag.h"

// func toPanic(vector, addr uintptr, pc, sp *uintptr, lo, hi uintptr) bool
TEXT ·toPanic(SB),NOSPLIT|NOFRAME,$0-49
	JMP	runtime·BareFault(SB)

// func Preempt()
TEXT ·Preempt(SB),NOSPLIT|NOFRAME,$0
	JMP	runtime·BarePreempt(SB)

// func yield(pc, sp *uintptr, lo, hi uintptr)
TEXT ·yield(SB),NOSPLIT|NOFRAME,$0-32
	JMP	runtime·BareAsync(SB)
