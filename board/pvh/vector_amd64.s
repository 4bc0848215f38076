//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// Each entry is const_stubSize (9) bytes long. PUSHQ of a byte, written out so
// that the assembler cannot choose another length.
#define PLAIN(n) BYTE $0x6a; BYTE $0x00; BYTE $0x6a; BYTE $n; JMP ·exception<>(SB)
#define CODED(n) BYTE $0x90; BYTE $0x90; BYTE $0x6a; BYTE $n; JMP ·exception<>(SB)
#define DEVICE(n) BYTE $0x6a; BYTE $0x00; BYTE $0x6a; BYTE $n; JMP ·interrupt<>(SB)

// Vectors 0 to 31 (AMD64 Architecture Programmer's Manual, volume 2, table
// 8-1): those that push an error code are CODED. Then device vectors.
TEXT ·stubs(SB),NOSPLIT|NOFRAME,$0
	PLAIN(0); PLAIN(1); PLAIN(2); PLAIN(3); PLAIN(4); PLAIN(5); PLAIN(6); PLAIN(7)
	CODED(8); PLAIN(9); CODED(10); CODED(11); CODED(12); CODED(13); CODED(14); PLAIN(15)
	PLAIN(16); CODED(17); PLAIN(18); PLAIN(19); PLAIN(20); CODED(21); PLAIN(22); PLAIN(23)
	PLAIN(24); PLAIN(25); PLAIN(26); PLAIN(27); PLAIN(28); CODED(29); CODED(30); PLAIN(31)
	DEVICE(32); DEVICE(33); DEVICE(34); DEVICE(35); DEVICE(36); DEVICE(37); DEVICE(38); DEVICE(39)
	DEVICE(40); DEVICE(41); DEVICE(42); DEVICE(43); DEVICE(44); DEVICE(45); DEVICE(46); DEVICE(47)
	DEVICE(48); DEVICE(49); DEVICE(50); DEVICE(51); DEVICE(52); DEVICE(53); DEVICE(54); DEVICE(55)
	DEVICE(56); DEVICE(57); DEVICE(58); DEVICE(59); DEVICE(60); DEVICE(61); DEVICE(62); DEVICE(63)

#define PUSHALL \
	PUSHQ R15; PUSHQ R14; PUSHQ R13; PUSHQ R12; PUSHQ R11; PUSHQ R10; PUSHQ R9; PUSHQ R8; \
	PUSHQ DI; PUSHQ SI; PUSHQ BP; PUSHQ DX; PUSHQ CX; PUSHQ BX; PUSHQ AX
#define POPALL \
	POPQ AX; POPQ BX; POPQ CX; POPQ DX; POPQ BP; POPQ SI; POPQ DI; \
	POPQ R8; POPQ R9; POPQ R10; POPQ R11; POPQ R12; POPQ R13; POPQ R14; POPQ R15

// The stack has the vector, the error code and what the processor pushed; with
// the registers it is a frame (exception.go).
TEXT ·exception<>(SB),NOSPLIT|NOFRAME,$0
	PUSHALL
	CLD
	MOVQ	SP, BX
	ANDQ	$~15, SP
	// Can it become a panic of the running goroutine?
	SUBQ	$64, SP
	MOVQ	frame_vector(BX), AX
	MOVQ	AX, 0(SP)
	MOVQ	CR2, AX
	MOVQ	AX, 8(SP)
	LEAQ	frame_rip(BX), AX
	MOVQ	AX, 16(SP)
	LEAQ	frame_rsp(BX), AX
	MOVQ	AX, 24(SP)
	LEAQ	·faultStack(SB), AX
	MOVQ	AX, 32(SP)
	ADDQ	$const_faultStackSize, AX
	MOVQ	AX, 40(SP)
	MOVQ	BX, 56(SP)
	CALL	·toPanic(SB)
	MOVQ	56(SP), BX
	MOVB	48(SP), AX
	TESTB	AX, AX
	JEQ	report
	MOVQ	BX, SP
	POPALL
	ADDQ	$16, SP
	IRETQ
report:
	// It cannot. Report with the boot code's g, whose stack checks pass.
	LEAQ	·bootG(SB), R14
	MOVQ	R14, (TLS)
	XORPS	X15, X15
	MOVQ	BX, 0(SP)
	MOVQ	CR2, AX
	MOVQ	AX, 8(SP)
	CALL	·report(SB)
	UNDEF

// xsaveSize holds x87, SSE, AVX and AVX-512 state, what cpuinit enables (Intel SDM
// volume 1, section 13.4: 2688 bytes), with 64 for alignment.
#define xsaveSize 3072

// sleepSize is more than the length of the function sleep, and at most the alignment
// of functions.
#define sleepSize 16

// Device interrupts save what Go code may change, the vector registers in full
// (memory copies use AVX, and so does the cryptography that was interrupted), and
// run the handler with the boot code's g.
//
// The processor pushes its frame onto the interrupted stack, which has room for
// it (goos.StackSystem); from there it is moved to the interrupt stack. The
// interrupt stack table is not used, since it begins at the same place each time: a
// hypervisor that injects an interrupt again while the first is at its first
// instructions, with interrupts off, would overwrite the return frame. Xen under
// QEMU's emulation of SVM does that.
TEXT ·interrupt<>(SB),NOSPLIT|NOFRAME,$0
	PUSHALL
	CLD
	MOVQ	SP, BX
	LEAQ	·interruptStack(SB), AX
	CMPQ	BX, AX
	JCS	move
	ADDQ	$const_interruptStackSize, AX
	CMPQ	BX, AX
	JCC	move
	INCL	·twice(SB)	// stay on this stack
	JMP	here
move:
	MOVQ	frame_rip(BX), AX
	LEAQ	·stubs(SB), CX
	SUBQ	CX, AX
	CMPQ	AX, $(const_vectors*const_stubSize)
	ADCL	$0, ·twice(SB)	// injected twice, before the stub's end
	LEAQ	·interruptStack(SB), AX
	ADDQ	$const_interruptStackSize, AX
	LEAQ	-frame__size(AX), SP
	MOVQ	BX, SI
	MOVQ	SP, DI
	MOVL	$(frame__size/8), CX
	REP; MOVSQ
	MOVQ	SP, BX
here:
	// Wait must not sleep after the interrupt that it waits for.
	MOVQ	frame_rip(BX), AX
	LEAQ	·sleep<>(SB), CX
	SUBQ	CX, AX
	CMPQ	AX, $sleepSize
	JCC	awake
	CMPQ	AX, $1
	JNE	slept
	INCL	·avoided(SB)
slept:
	LEAQ	·waited<>(SB), AX
	MOVQ	AX, frame_rip(BX)
awake:
	SUBQ	$(xsaveSize+64), SP
	ANDQ	$~63, SP
	MOVB	·useXSAVE(SB), AX
	TESTB	AX, AX
	JEQ	fxsave
	XORL	AX, AX	// the header (at 512) of what XRSTOR reads
	MOVQ	AX, (64+512)(SP)
	MOVQ	AX, (64+520)(SP)
	MOVQ	AX, (64+528)(SP)
	MOVQ	AX, (64+536)(SP)
	MOVQ	AX, (64+544)(SP)
	MOVQ	AX, (64+552)(SP)
	MOVQ	AX, (64+560)(SP)
	MOVQ	AX, (64+568)(SP)
	MOVL	$-1, AX
	MOVL	AX, DX
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x64; BYTE $0x24; BYTE $0x40 // XSAVE64 64(SP)
	JMP	saved
fxsave:
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x44; BYTE $0x24; BYTE $0x40 // FXSAVE64 64(SP)
saved:
	MOVQ	BX, 48(SP)
	MOVQ	(TLS), AX
	MOVQ	AX, 56(SP)
	LEAQ	·bootG(SB), R14
	MOVQ	R14, (TLS)
	XORPS	X15, X15
	MOVL	$1, ·raised(SB)
	MOVQ	frame_vector(BX), AX
	MOVQ	AX, 0(SP)
	CALL	·dispatch(SB)
	MOVQ	56(SP), AX
	MOVQ	AX, (TLS)
	// If the handler has called Preempt, the goroutine yields at once.
	MOVQ	48(SP), BX
	LEAQ	frame_rip(BX), AX
	MOVQ	AX, 0(SP)
	LEAQ	frame_rsp(BX), AX
	MOVQ	AX, 8(SP)
	LEAQ	·interruptStack(SB), AX
	MOVQ	AX, 16(SP)
	ADDQ	$const_interruptStackSize, AX
	MOVQ	AX, 24(SP)
	CALL	·yield(SB)
	MOVB	·useXSAVE(SB), AX
	TESTB	AX, AX
	JEQ	fxrstor
	MOVL	$-1, AX
	MOVL	AX, DX
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x6c; BYTE $0x24; BYTE $0x40 // XRSTOR64 64(SP)
	JMP	restored
fxrstor:
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x4c; BYTE $0x24; BYTE $0x40 // FXRSTOR64 64(SP)
restored:
	MOVQ	48(SP), SP
	POPALL
	ADDQ	$16, SP
	IRETQ

// func stubsBase() uintptr
TEXT ·stubsBase(SB),NOSPLIT,$0-8
	LEAQ	·stubs(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func Wait()
TEXT ·Wait(SB),NOSPLIT,$0
	CLI
	CMPL	·raised(SB), $0
	JNE	done
	JMP	·sleep<>(SB)
done:
	JMP	·waited<>(SB)

// An interrupt in sleep returns to waited. STI takes effect after the next
// instruction, so no interrupt should be delivered before HLT. QEMU's emulation of
// SVM does not keep that on entry to a guest: after an interrupt of Xen itself
// just behind STI, an event for the domain is delivered before HLT, and HLT would
// then sleep until the next interrupt.
TEXT ·sleep<>(SB),NOSPLIT,$0
	STI
	HLT
	JMP	·waited<>(SB)

TEXT ·waited<>(SB),NOSPLIT,$0
	MOVL	$0, ·raised(SB)
	STI
	RET

// func WaitLate()
TEXT ·WaitLate(SB),NOSPLIT|NOFRAME,$0
	CLI
	MOVQ	SP, AX
	PUSHQ	$16	// SS
	PUSHQ	AX	// its RSP is at the return address
	PUSHQ	$0x202	// flags: interrupts are on
	PUSHQ	$const_codeSelector
	LEAQ	·sleep<>(SB), AX
	ADDQ	$1, AX	// HLT
	PUSHQ	AX
	LEAQ	·stubs(SB), AX
	ADDQ	$((const_vectors-1)*const_stubSize), AX
	JMP	AX

// func AvoidedHalts() uint32
TEXT ·AvoidedHalts(SB),NOSPLIT,$0-4
	MOVL	·avoided(SB), AX
	MOVL	AX, ret+0(FP)
	RET

// func EnableInterrupts()
TEXT ·EnableInterrupts(SB),NOSPLIT,$0
	STI
	RET

// func DisableInterrupts()
TEXT ·DisableInterrupts(SB),NOSPLIT,$0
	CLI
	RET

// func Halt()
TEXT ·Halt(SB),NOSPLIT,$0
	HLT
	RET

// func InjectedTwice() uint32
TEXT ·InjectedTwice(SB),NOSPLIT,$0-4
	MOVL	·twice(SB), AX
	MOVL	AX, ret+0(FP)
	RET

GLOBL	·raised(SB), NOPTR, $4
GLOBL	·avoided(SB), NOPTR, $4
GLOBL	·twice(SB), NOPTR, $4
GLOBL	·faultStack(SB), NOPTR, $const_faultStackSize
GLOBL	·interruptStack(SB), NOPTR, $const_interruptStackSize
