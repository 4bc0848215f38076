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
