// Bare metal: the functions of sys_linux_amd64.s and rt0_linux_amd64.s.

#include "go_asm.h"
#include "go_tls.h"
#include "textflag.h"

#define ENOSYS 38

// Entry, with a valid stack: as the kernel would start a process with one
// argument, no environment, and the page size in the auxiliary vector.
TEXT _rt0_tamago_start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	$1, DI
	LEAQ	runtime·bareArgv(SB), SI
	LEAQ	runtime·bareArg0(SB), AX
	MOVQ	AX, 0(SI)
	JMP	runtime·rt0_go(SB)

TEXT _rt0_amd64_linux(SB),NOSPLIT|NOFRAME,$0
	JMP	_rt0_tamago_start(SB)

DATA runtime·bareArg0+0(SB)/8, $"unikerne"
DATA runtime·bareArg0+8(SB)/8, $0x6c // "l"
GLOBL runtime·bareArg0(SB), RODATA, $16

// argv[0], end of argv, end of envp, AT_PAGESZ (6), 4096, AT_NULL.
DATA runtime·bareArgv+24(SB)/8, $6
DATA runtime·bareArgv+32(SB)/8, $4096
GLOBL runtime·bareArgv(SB), NOPTR, $56

// func exit(code int32)
TEXT runtime·exit(SB),NOSPLIT,$8-4
	MOVL	code+0(FP), AX
	MOVL	AX, 0(SP)
	CALL	·bareExit(SB)
	RET

// func exitThread(wait *atomic.Uint32)
TEXT runtime·exitThread(SB),NOSPLIT,$0-8
	INT	$3
	JMP	0(PC)

// func open(name *byte, mode, perm int32) int32
TEXT runtime·open(SB),NOSPLIT,$0-20
	MOVL	$-1, ret+16(FP)
	RET

// func closefd(fd int32) int32
TEXT runtime·closefd(SB),NOSPLIT,$0-12
	MOVL	$-1, ret+8(FP)
	RET

// func write1(fd uintptr, p unsafe.Pointer, n int32) int32
TEXT runtime·write1(SB),NOSPLIT,$16-28
	MOVQ	p+8(FP), AX
	MOVQ	AX, 0(SP)
	MOVL	n+16(FP), AX
	MOVL	AX, 8(SP)
	CALL	·bareWrite(SB)
	MOVL	n+16(FP), AX
	MOVL	AX, ret+24(FP)
	RET

// func read(fd int32, p unsafe.Pointer, n int32) int32
TEXT runtime·read(SB),NOSPLIT,$0-28
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func pipe2(flags int32) (r, w int32, errno int32)
TEXT runtime·pipe2(SB),NOSPLIT,$0-20
	MOVL	$-ENOSYS, errno+16(FP)
	RET

// func usleep(usec uint32)
TEXT runtime·usleep(SB),NOSPLIT,$8-4
	MOVL	usec+0(FP), AX
	MOVL	AX, 0(SP)
	CALL	·bareUsleep(SB)
	RET

// func gettid() uint32
TEXT runtime·gettid(SB),NOSPLIT,$0-4
	MOVL	$1, ret+0(FP)
	RET

// func raise(sig uint32)
TEXT runtime·raise(SB),NOSPLIT,$0
	RET

// func raiseproc(sig uint32)
TEXT runtime·raiseproc(SB),NOSPLIT,$0
	RET

// func getpid() int
TEXT ·getpid(SB),NOSPLIT,$0-8
	MOVQ	$1, ret+0(FP)
	RET

// func tgkill(tgid, tid, sig int)
TEXT ·tgkill(SB),NOSPLIT,$0
	RET

// func setitimer(mode int32, new, old *itimerval)
TEXT runtime·setitimer(SB),NOSPLIT,$0-24
	RET

// func timer_create(clockid int32, sevp *sigevent, timerid *int32) int32
TEXT runtime·timer_create(SB),NOSPLIT,$0-28
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func timer_settime(timerid int32, flags int32, new, old *itimerspec) int32
TEXT runtime·timer_settime(SB),NOSPLIT,$0-28
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func timer_delete(timerid int32) int32
TEXT runtime·timer_delete(SB),NOSPLIT,$0-12
	MOVL	$-ENOSYS, ret+8(FP)
	RET

// func mincore(addr unsafe.Pointer, n uintptr, dst *byte) int32
TEXT runtime·mincore(SB),NOSPLIT,$0-28
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func nanotime1() int64
TEXT runtime·nanotime1(SB),NOSPLIT,$8-8
	CALL	·bareNanotime(SB)
	MOVQ	0(SP), AX
	MOVQ	AX, ret+0(FP)
	RET

// func rtsigprocmask(how int32, new, old *sigset, size int32)
TEXT runtime·rtsigprocmask(SB),NOSPLIT,$0-28
	RET

// func rt_sigaction(sig uintptr, new, old *sigactiont, size uintptr) int32
TEXT runtime·rt_sigaction(SB),NOSPLIT,$0-36
	MOVL	$0, ret+32(FP)
	RET

// func callCgoSigaction(sig uintptr, new, old *sigactiont) int32
TEXT runtime·callCgoSigaction(SB),NOSPLIT,$0
	MOVL	$ENOSYS, ret+24(FP)
	RET

// func sigfwd(fn uintptr, sig uint32, info *siginfo, ctx unsafe.Pointer)
TEXT runtime·sigfwd(SB),NOSPLIT,$0-32
	RET

// Signal handlers: only their addresses are taken.
TEXT runtime·sigtramp(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	INT	$3
TEXT runtime·cgoSigtramp(SB),NOSPLIT|NOFRAME,$0
	INT	$3
TEXT runtime·sigreturn__sigaction(SB),NOSPLIT|NOFRAME,$0
	INT	$3

// func sysMmap(addr unsafe.Pointer, n uintptr, prot, flags, fd int32, off uint32) (p unsafe.Pointer, err int)
TEXT runtime·sysMmap(SB),NOSPLIT,$0
	MOVQ	$0, p+32(FP)
	MOVQ	$ENOSYS, err+40(FP)
	RET

TEXT runtime·callCgoMmap(SB),NOSPLIT,$0
	INT	$3
	RET

// func sysMunmap(addr unsafe.Pointer, n uintptr)
TEXT runtime·sysMunmap(SB),NOSPLIT,$0
	RET

TEXT runtime·callCgoMunmap(SB),NOSPLIT,$0-16
	INT	$3
	RET

// func madvise(addr unsafe.Pointer, n uintptr, flags int32) int32
TEXT runtime·madvise(SB),NOSPLIT,$0
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func futex(addr unsafe.Pointer, op int32, val uint32, ts *timespec, addr2 unsafe.Pointer, val3 uint32) int32
// Waking has nobody to wake. Waiting returns if the value has changed or a
// time limit is given (the callers allow for spurious wake-ups).
TEXT runtime·futex(SB),NOSPLIT,$0-44
	MOVL	$0, ret+40(FP)
	MOVL	op+8(FP), AX
	ANDL	$127, AX
	CMPL	AX, $0
	JNE	done
	MOVQ	addr+0(FP), AX
	MOVL	(AX), AX
	CMPL	AX, val+12(FP)
	JNE	done
	CMPQ	ts+16(FP), $0
	JNE	done
	CALL	·bareFutexWait(SB)
done:
	RET

// func clone(flags int32, stk, mp, gp, fn unsafe.Pointer) int32
TEXT runtime·clone(SB),NOSPLIT|NOFRAME,$0
	MOVL	$-ENOSYS, ret+40(FP)
	RET

// func sigaltstack(new, old *stackt)
TEXT runtime·sigaltstack(SB),NOSPLIT,$0
	RET

// settls sets the thread pointer so that -8(FS) is the word at DI.
// Clobbers AX, CX, DX.
TEXT runtime·settls(SB),NOSPLIT|NOFRAME,$0
	ADDQ	$8, DI
	MOVL	$0xc0000100, CX	// MSR FS.Base
	MOVL	DI, AX
	MOVQ	DI, DX
	SHRQ	$32, DX
	WRMSR
	RET

// func osyield()
TEXT runtime·osyield(SB),NOSPLIT,$0
	PAUSE
	RET

// func sched_getaffinity(pid, len uintptr, buf *byte) int32
TEXT runtime·sched_getaffinity(SB),NOSPLIT,$0
	MOVL	$-ENOSYS, ret+24(FP)
	RET

// func access(name *byte, mode int32) int32
TEXT runtime·access(SB),NOSPLIT,$0
	MOVL	$-1, ret+16(FP)
	RET

// func connect(fd int32, addr unsafe.Pointer, len int32) int32
TEXT runtime·connect(SB),NOSPLIT,$0-28
	MOVL	$-1, ret+24(FP)
	RET

// func socket(domain, typ, prot int32) int32
TEXT runtime·socket(SB),NOSPLIT,$0-20
	MOVL	$-1, ret+16(FP)
	RET

// func sbrk0() uintptr
TEXT runtime·sbrk0(SB),NOSPLIT,$0-8
	MOVQ	$0, ret+0(FP)
	RET

// func BareFault(vector, addr uintptr, pc, sp *uintptr, lo, hi uintptr) bool
// For a board's exception entry; see bareFault.
TEXT runtime·BareFault(SB),NOSPLIT,$56-49
	MOVQ	vector+0(FP), AX
	MOVQ	AX, 0(SP)
	MOVQ	addr+8(FP), AX
	MOVQ	AX, 8(SP)
	MOVQ	pc+16(FP), AX
	MOVQ	AX, 16(SP)
	MOVQ	sp+24(FP), AX
	MOVQ	AX, 24(SP)
	MOVQ	lo+32(FP), AX
	MOVQ	AX, 32(SP)
	MOVQ	hi+40(FP), AX
	MOVQ	AX, 40(SP)
	CALL	·bareFault(SB)
	MOVB	48(SP), AX
	MOVB	AX, ret+48(FP)
	RET

// func BarePreempt()
// For a board's interrupt handlers; see barePreempt.
TEXT runtime·BarePreempt(SB),NOSPLIT,$0
	CALL	·barePreempt(SB)
	RET

// func BareAsync(pc, sp *uintptr, lo, hi uintptr)
// For a board's interrupt entry; see bareAsync.
TEXT runtime·BareAsync(SB),NOSPLIT,$32-32
	MOVQ	pc+0(FP), AX
	MOVQ	AX, 0(SP)
	MOVQ	sp+8(FP), AX
	MOVQ	AX, 8(SP)
	MOVQ	lo+16(FP), AX
	MOVQ	AX, 16(SP)
	MOVQ	hi+24(FP), AX
	MOVQ	AX, 24(SP)
	CALL	·bareAsync(SB)
	RET
