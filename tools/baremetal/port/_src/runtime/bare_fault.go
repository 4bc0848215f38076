// Bare metal: processor exceptions that become Go panics, and preemption
// asked for by interrupts.

package runtime

import (
	"internal/abi"
	"internal/cpu"
	"unsafe"
)

// Vectors of processor exceptions (AMD64 Architecture Programmer's Manual,
// volume 2, section 8.2) that a Go program may recover from.
const (
	vectorDivide = 0
	vectorPage   = 14
)

// bareFault is called by a board's exception entry, on the exception's own
// stack [lo, hi), with interrupts off and the registers of the faulting code
// saved. addr is CR2. If it returns true, *pc and *sp have been changed so that
// returning from the exception calls sigpanic in the faulting goroutine;
// else no goroutine can take it and the machine has to stop.
//
//go:nosplit
func bareFault(vector, addr uintptr, pc, sp *uintptr, lo, hi uintptr) bool {
	gp := getg()
	if !bareUserG(gp) || gp.throwsplit {
		return false
	}
	if vector != vectorDivide && vector != vectorPage {
		return false
	}
	// As in sigtrampgo: be gsignal for a while, whose bounds are this stack's,
	// so that ordinary functions can be called.
	gs := gp.m.gsignal
	saved := gs.stack
	bareSetStack(gs, lo, hi)
	setg(gs)
	bareInject(gp, vector, addr, pc, sp)
	setg(gp)
	bareSetStack(gs, saved.lo, saved.hi)
	return true
}

// bareUserG reports whether gp is a goroutine, running on its own stack.
//
//go:nosplit
func bareUserG(gp *g) bool {
	return gp != nil && gp.m != nil && gp == gp.m.curg && gp != gp.m.g0 && gp.m.gsignal != nil
}

//go:nosplit
func bareSetStack(gp *g, lo, hi uintptr) {
	gp.stack = stack{lo, hi}
	gp.stackguard0 = lo + stackGuard
	gp.stackguard1 = lo + stackGuard
}

func bareInject(gp *g, vector, addr uintptr, pc, sp *uintptr) {
	if vector == vectorDivide {
		gp.sig = _SIGFPE
		gp.sigcode0 = _FPE_INTDIV
	} else {
		gp.sig = _SIGSEGV
		gp.sigcode0 = _SEGV_MAPERR
	}
	gp.sigcode1 = addr
	gp.sigpc = *pc
	// As in preparePanic: make it look as if the faulting instruction had
	// called sigpanic.
	if shouldPushSigpanic(gp, *pc, *(*uintptr)(unsafe.Pointer(*sp))) {
		*sp -= 8
		*(*uintptr)(unsafe.Pointer(*sp)) = *pc
	}
	*pc = abi.FuncPCABI0(sigpanic0)
}

// barePreempt asks the running goroutine to yield, as preemptone does: at its next
// function prologue, or when the interrupt returns, if bareAsync finds it at a
// safe point. Interrupt handlers call it by way of runtime·BarePreempt.
//
//go:nosplit
func barePreempt() {
	gp := m0.curg
	if gp == nil || gp == m0.g0 {
		return
	}
	pp := m0.p.ptr()
	if pp == nil {
		return
	}
	gp.preempt = true
	gp.stackguard0 = stackPreempt
	pp.preempt = true
}

// bareAsync is called by a board's interrupt entry before it returns from the
// interrupt, on the interrupt's stack [lo, hi), with the interrupted code's g.
// It does what stock code does in a handler of sigPreempt.
//
//go:nosplit
func bareAsync(pc, sp *uintptr, lo, hi uintptr) {
	gp := getg()
	if !bareUserG(gp) || !gp.preempt {
		return
	}
	gs := gp.m.gsignal
	saved := gs.stack
	bareSetStack(gs, lo, hi)
	setg(gs)
	if wantAsyncPreempt(gp) {
		if ok, newpc := isAsyncSafePoint(gp, *pc, *sp, 0); ok {
			*sp -= 8
			*(*uintptr)(unsafe.Pointer(*sp)) = newpc
			*pc = abi.FuncPCABI0(asyncPreempt)
		}
	}
	setg(gp)
	bareSetStack(gs, saved.lo, saved.hi)
}

func bareCPUName() string {
	return cpu.Name()
}
