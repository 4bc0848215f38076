// Bare metal: there is no process to fork and no user to ask for.

#include "textflag.h"

#define ENOSYS 38

// func rawVforkSyscall(trap, a1, a2, a3 uintptr) (r1, err uintptr)
TEXT ·rawVforkSyscall(SB),NOSPLIT|NOFRAME,$0-48
	MOVQ	$-1, r1+32(FP)
	MOVQ	$ENOSYS, err+40(FP)
	RET

// func rawSyscallNoError(trap, a1, a2, a3 uintptr) (r1, r2 uintptr)
TEXT ·rawSyscallNoError(SB),NOSPLIT,$0-48
	MOVQ	$0, r1+32(FP)
	MOVQ	$0, r2+40(FP)
	RET

// func gettimeofday(tv *Timeval) (err uintptr)
TEXT ·gettimeofday(SB),NOSPLIT,$0-16
	MOVQ	$ENOSYS, err+8(FP)
	RET
