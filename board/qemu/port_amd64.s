//go:build tamago

#include "textflag.h"

// func transmit(c byte)
TEXT ·transmit(SB),NOSPLIT,$0-1
	MOVW	$0x3fd, DX
wait:
	INB
	TESTB	$0x20, AX	// LSR: transmitter empty
	JEQ	wait
	MOVB	c+0(FP), AX
	MOVW	$0x3f8, DX
	OUTB
	RET

// func rdtsc() uint64
TEXT ·rdtsc(SB),NOSPLIT,$0-8
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// func out32(port uint16, v uint32)
TEXT ·out32(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	v+4(FP), AX
	OUTL
	RET
