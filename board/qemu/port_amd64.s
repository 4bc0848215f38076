//go:build tamago

#include "textflag.h"

// Ports of the 16550 at COM1 (PC16550D data sheet, section 8).
#define COM1_THR 0x3f8
#define COM1_LSR 0x3fd
#define LSR_THRE 0x20	// transmitter holding register empty

// func transmit(c byte)
TEXT ·transmit(SB),NOSPLIT,$0-1
	MOVW	$COM1_LSR, DX
wait:
	INB
	TESTB	$LSR_THRE, AX
	JEQ	wait
	MOVB	c+0(FP), AX
	MOVW	$COM1_THR, DX
	OUTB
	RET

// func rdtsc() uint64
TEXT ·rdtsc(SB),NOSPLIT,$0-8
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// func out8(port uint16, v uint8)
TEXT ·out8(SB),NOSPLIT,$0-3
	MOVW	port+0(FP), DX
	MOVB	v+2(FP), AX
	OUTB
	RET

// func out32(port uint16, v uint32)
TEXT ·out32(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	v+4(FP), AX
	OUTL
	RET

// func hasRDRAND() bool
// CPUID Fn0000_0001 ECX bit 30.
TEXT ·hasRDRAND(SB),NOSPLIT,$0-1
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	SHRL	$30, CX
	ANDL	$1, CX
	MOVB	CX, ret+0(FP)
	RET

// func rdrand() (v uint64, ok bool)
TEXT ·rdrand(SB),NOSPLIT,$0-9
	RDRANDQ	AX
	SETCS	ok+8(FP)
	MOVQ	AX, v+0(FP)
	RET
