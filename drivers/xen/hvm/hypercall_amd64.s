//go:build tamago

#include "textflag.h"

// func hypercall(nr, op uint64, arg unsafe.Pointer, n uint64) int64
// Xen's convention for 64-bit HVM guests (public/arch-x86/xen-x86_64.h): number
// in RAX, arguments in RDI, RSI, RDX; answer in RAX. VMCALL is Intel's
// instruction, VMMCALL AMD's; each faults on the other's processors.
TEXT ·hypercall(SB),NOSPLIT,$0-40
	MOVQ	nr+0(FP), AX
	MOVQ	op+8(FP), DI
	MOVQ	arg+16(FP), SI
	MOVQ	n+24(FP), DX
	CMPB	·amd(SB), $0
	JEQ	vmcall
	BYTE	$0x0f; BYTE $0x01; BYTE $0xd9	// VMMCALL
	MOVQ	AX, ret+32(FP)
	RET
vmcall:
	BYTE	$0x0f; BYTE $0x01; BYTE $0xc1	// VMCALL
	MOVQ	AX, ret+32(FP)
	RET

// func cpuid(leaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB),NOSPLIT,$0-24
	MOVL	leaf+0(FP), AX
	XORL	CX, CX
	CPUID
	MOVL	AX, eax+8(FP)
	MOVL	BX, ebx+12(FP)
	MOVL	CX, ecx+16(FP)
	MOVL	DX, edx+20(FP)
	RET
