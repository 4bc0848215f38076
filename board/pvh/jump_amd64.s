//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// func jump(j *Jump, gdt, idt *[10]byte)
// The state is that which Linux asks for at its 64-bit entry
// (Documentation/arch/x86/boot.rst, "64-bit boot protocol"): paging on, selector 0x10
// for code and 0x18 for data, interrupts off.
TEXT ·jump(SB),NOSPLIT|NOFRAME,$0-24
	CLI
	CLD
	MOVQ	j+0(FP), BX
	MOVQ	gdt+8(FP), AX
	LGDT	(AX)
	MOVQ	idt+16(FP), AX
	LIDT	(AX)		// empty: from here on, an exception resets the machine
	MOVQ	Jump_Entry(BX), DI
	MOVQ	Jump_Arg(BX), SI
	MOVQ	Jump_Stack(BX), R8
	MOVQ	Jump_Tables(BX), AX
	MOVQ	AX, CR3
	MOVQ	R8, SP
	MOVL	$0x18, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, SS
	XORL	AX, AX
	MOVW	AX, FS
	MOVW	AX, GS

	// What start64 has enabled: the AVX state, then all of CR4 but PAE, without
	// which there is no 64-bit mode.
	MOVB	·useXSAVE(SB), AX
	TESTB	AX, AX
	JEQ	noxsave
	MOVL	$1, AX
	XORL	DX, DX
	XORL	CX, CX
	BYTE	$0x0f; BYTE $0x01; BYTE $0xd1	// XSETBV
noxsave:
	MOVL	$(1<<5), AX
	MOVQ	AX, CR4

	PUSHQ	$0x10
	PUSHQ	DI
	XORL	AX, AX
	XORL	BX, BX
	XORL	CX, CX
	XORL	DX, DX
	BYTE	$0x31; BYTE $0xed	// XORL BP, BP
	XORL	DI, DI
	XORL	R8, R8
	XORL	R9, R9
	XORL	R10, R10
	XORL	R11, R11
	XORL	R12, R12
	XORL	R13, R13
	XORL	R14, R14
	XORL	R15, R15
	BYTE	$0x48; BYTE $0xcb	// RETFQ
