//go:build tamago

#include "textflag.h"

// func undefined()
TEXT ·undefined(SB),NOSPLIT,$0
	UD2
	RET

// func readZero()
TEXT ·readZero(SB),NOSPLIT,$0
	MOVQ	$8, AX
	MOVQ	(AX), AX
	RET

// func systemFault()
// Dereferences nil on the scheduler's stack, where nobody can recover.
TEXT ·systemFault(SB),NOSPLIT,$8
	LEAQ	·readZeroFunc(SB), AX
	MOVQ	AX, 0(SP)
	CALL	runtime·systemstack(SB)
	RET

DATA	·readZeroFunc(SB)/8, $·readZero(SB)
GLOBL	·readZeroFunc(SB), RODATA, $8
