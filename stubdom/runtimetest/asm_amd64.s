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
// Dereferences nil on the scheduler's stack, where recover is not possible.
TEXT ·systemFault(SB),NOSPLIT,$8
	LEAQ	·readZeroFunc(SB), AX
	MOVQ	AX, 0(SP)
	CALL	runtime·systemstack(SB)
	RET

// func sink()
TEXT ·sink(SB),NOSPLIT,$0
	MOVQ	SP, DI
down:
	SUBQ	$8, DI
	MOVQ	$0, (DI)
	JMP	down

// func systemOverflow()
// Runs down the scheduler's stack to its guard.
TEXT ·systemOverflow(SB),NOSPLIT,$8
	LEAQ	·sinkFunc(SB), AX
	MOVQ	AX, 0(SP)
	CALL	runtime·systemstack(SB)
	RET

DATA	·sinkFunc(SB)/8, $·sink(SB)
GLOBL	·sinkFunc(SB), RODATA, $8

DATA	·readZeroFunc(SB)/8, $·readZero(SB)
GLOBL	·readZeroFunc(SB), RODATA, $8

// func spinYMM(n uint64) uint64
// Counts down from n with a pattern in the upper half of Y7 and returns the
// quadword found there.
TEXT ·spinYMM(SB),NOSPLIT,$0-16
	MOVQ	$0x0123456789abcdef, AX
	VMOVQ	AX, X7
	VPBROADCASTQ	X7, Y7
	MOVQ	n+0(FP), CX
spin:
	SUBQ	$1, CX
	JNE	spin
	VEXTRACTI128	$1, Y7, X6
	VMOVQ	X6, AX
	VZEROUPPER
	MOVQ	AX, ret+8(FP)
	RET
