// Bare metal: interrupts raise signals.

#include "textflag.h"

// func Relay(sig int)
// For interrupt handlers: needs no stack of its own, clobbers AX and BX.
TEXT ·Relay(SB),NOSPLIT|NOFRAME,$0-8
	MOVQ	sig+8(SP), AX
	LEAQ	runtime·relayed(SB), BX
	LOCK
	BTSQ	AX, (BX)
	RET

// func Waiting() bool
TEXT ·Waiting(SB),NOSPLIT,$0-1
	MOVQ	runtime·relay(SB), AX	// its first field, waiting
	TESTQ	AX, AX
	SETNE	ret+0(FP)
	RET
