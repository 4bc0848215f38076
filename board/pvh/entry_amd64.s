//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// Entry in the state of Xen's PVH boot protocol (xen/docs/misc/pvh.pandoc, "x86/HVM direct
// boot ABI"): 32-bit protected mode, no paging, flat segments, interrupts off,
// EBX = physical address of hvm_start_info, no stack.
//
// Until long mode is on, the processor decodes what the assembler encodes for
// 64 bits. The instructions below have the same encoding in both modes, but for
// RIP-relative addresses, which decode as absolute ones: LEAL sym(SB) then
// yields sym less the address of the next instruction. CALL ·pc(SB) before it
// returns its own next address in AX; LEAL is 6 bytes long.
#define ADDRESS(sym, reg) \
	CALL	·pc<>(SB)   \
	LEAL	sym, reg    \
	LEAL	6(AX)(reg*1), reg

#define TABLES 7	// pages of boot tables, one for alignment

TEXT cpuinit(SB),NOSPLIT|NOFRAME,$0
	CLI
	CLD

	// The only memory known to be usable is start_info itself: let its first
	// word, the magic number, be the stack for one call.
	LEAL	4(BX), SP
	ADDRESS(·bootStack(SB), CX)
	LEAL	const_bootStackSize(CX), CX
	MOVL	$0x336ec578, AX	// XEN_HVM_START_MAGIC_VALUE
	MOVL	AX, (BX)
	ANDL	$~15, CX
	MOVL	CX, SP
	SUBL	$32, SP		// 0: descriptor table register, 16: start_info
	MOVL	BX, 16(SP)

	// Boot page tables: the first 4 GiB with 2 MiB pages, all rights
	// (AMD64 Architecture Programmer's Manual, volume 2, section 5.3).
	ADDRESS(·bootTables(SB), DI)
	ADDL	$4095, DI
	ANDL	$~4095, DI
	MOVL	DI, SI		// PML4 at SI, PDPT at +1000, PD at +2000 to +5fff
	XORL	AX, AX
	MOVL	$((TABLES-1)*1024), CX
	REP; STOSL
	LEAL	0x1003(SI), AX
	MOVL	AX, (SI)
	LEAL	0x2003(SI), AX
	LEAL	0x1000(SI), DI
	MOVL	$4, CX
pdpt:
	MOVL	AX, (DI)
	ADDL	$0x1000, AX
	ADDL	$8, DI
	SUBL	$1, CX
	JNE	pdpt
	LEAL	0x2000(SI), DI
	MOVL	$0x83, AX	// PS, RW, P
	MOVL	$2048, CX
pd:
	MOVL	AX, (DI)
	ADDL	$0x200000, AX
	ADDL	$8, DI
	SUBL	$1, CX
	JNE	pd
	MOVL	SI, CR3

	// CR4: PAE, PGE, OSFXSR, OSXMMEXCPT.
	MOVL	$(1<<5 | 1<<7 | 1<<9 | 1<<10), AX
	MOVL	AX, CR4
	MOVL	$0x80000001, AX
	CPUID
	MOVL	DX, DI
	MOVL	$0xc0000080, CX	// EFER
	RDMSR
	ORL	$(1<<8), AX	// LME
	TESTL	$(1<<20), DI	// CPUID Fn8000_0001 EDX: NX
	JEQ	nonx
	ORL	$(1<<11), AX	// NXE
nonx:
	WRMSR
	// CR0: PG, WP, NE, MP, PE; no EM, TS, CD, NW.
	MOVL	$(1<<31 | 1<<16 | 1<<5 | 1<<1 | 1<<0), AX
	MOVL	AX, CR0

	// Now in compatibility mode. Load the descriptor table and go to 64 bits.
	// RETFQ decodes as DECL AX; RETF here.
	ADDRESS(·gdt(SB), CX)
	MOVL	CX, 2(SP)
	MOVL	$0, 6(SP)
	BYTE	$0x66; BYTE $0xc7; BYTE $0x04; BYTE $0x24; BYTE $0x27; BYTE $0x00 // MOVW $39, (SP)
	LGDT	(SP)
	ADDRESS(·start64<>(SB), CX)
	PUSHQ	$8
	PUSHQ	CX
	RETFQ

TEXT ·pc<>(SB),NOSPLIT|NOFRAME,$0
	POPQ	AX
	PUSHQ	AX
	RET

TEXT ·start64<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	SP, SP		// upper half to zero
	MOVL	$16, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, SS
	XORL	AX, AX
	MOVW	AX, FS
	MOVW	AX, GS

	// AVX state, if the processor has XSAVE (Intel SDM volume 1, section
	// 13.5): the standard library's cryptography asks XCR0 what it may use.
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	TESTL	$(1<<26), CX
	JEQ	noxsave
	MOVQ	CR4, AX
	ORQ	$(1<<18), AX	// OSXSAVE
	MOVQ	AX, CR4
	MOVL	$0xd, AX
	XORL	CX, CX
	CPUID
	ANDL	$0xe7, AX	// x87, SSE, AVX, AVX-512
	// The three AVX-512 bits go together and need AVX.
	MOVL	AX, BX
	ANDL	$0xe4, BX
	CMPL	BX, $0xe4
	JEQ	setxcr0
	ANDL	$7, AX
setxcr0:
	XORL	DX, DX
	XORL	CX, CX
	BYTE	$0x0f; BYTE $0x01; BYTE $0xd1	// XSETBV
	MOVB	$1, ·useXSAVE(SB)
noxsave:
	// A thread pointer and a g of zeros, so that Go code runs: its stack
	// checks pass, as the limit is 0.
	LEAQ	·bootG(SB), AX
	MOVQ	AX, ·bootTLS(SB)
	LEAQ	·bootTLS(SB), DI
	CALL	runtime·settls(SB)
	LEAQ	·bootG(SB), R14
	XORPS	X15, X15

	MOVL	16(SP), AX
	MOVQ	AX, 0(SP)
	CALL	·boot(SB)
	MOVQ	8(SP), SP	// new stack
	JMP	_rt0_tamago_start(SB)

// Global descriptor table: null, 64-bit code, data, and 16 bytes for the task
// state segment, filled by boot.
DATA	·gdt+0x08(SB)/8, $0x00209a0000000000
DATA	·gdt+0x10(SB)/8, $0x0000920000000000
GLOBL	·gdt(SB), NOPTR, $40

GLOBL	·bootTables(SB), NOPTR, $(TABLES*4096)
GLOBL	·bootStack(SB), NOPTR, $const_bootStackSize
GLOBL	·bootG(SB), NOPTR, $1024
GLOBL	·useXSAVE(SB), NOPTR, $1
GLOBL	·bootTLS(SB), NOPTR, $16

// func loadTables(cr3 uint64, idt *[10]byte, tr uint16)
TEXT ·loadTables(SB),NOSPLIT,$0-18
	MOVQ	cr3+0(FP), AX
	MOVQ	AX, CR3
	MOVQ	idt+8(FP), AX
	LIDT	(AX)
	MOVW	tr+16(FP), AX
	BYTE	$0x0f; BYTE $0x00; BYTE $0xd8	// LTR AX
	RET

// func invalidate(addr uintptr)
TEXT ·invalidate(SB),NOSPLIT,$0-8
	MOVQ	addr+0(FP), AX
	INVLPG	(AX)
	RET

// func imageBase() uintptr
TEXT ·imageBase(SB),NOSPLIT,$0-8
	LEAQ	runtime·text(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func imageEnd() uintptr
TEXT ·imageEnd(SB),NOSPLIT,$0-8
	LEAQ	runtime·end(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func cpuidExtFeatures() uint32
// EDX of CPUID Fn8000_0001.
TEXT ·cpuidExtFeatures(SB),NOSPLIT,$0-4
	MOVL	$0x80000001, AX
	XORL	CX, CX
	CPUID
	MOVL	DX, ret+0(FP)
	RET
