//go:build tamago

package hvm

import (
	"runtime"
	"unsafe"

	"stubtpm/drivers/xen/abi"
)

// amd reports whether the hypercall instruction is VMMCALL rather than VMCALL.
// Detect sets it.
var amd bool

// hypercall is implemented in hypercall_amd64.s. Xen uses the memory at arg during
// the call only.
//
//go:noescape
func hypercall(nr, op uint64, arg unsafe.Pointer, n uint64) int64
func cpuid(leaf uint32) (eax, ebx, ecx, edx uint32)

// call makes a hypercall that takes a command and the address of one argument.
//
//go:nosplit
func call[T any](nr, op uint64, arg *T) int64 { return hypercall(nr, op, unsafe.Pointer(arg), 1) }

// Detect looks for Xen and prepares hypercalls. It returns Xen's version as major
// << 16 | minor, or 0 if there is no Xen, and this domain's ID if it is known. It
// does not allocate and may run before the Go runtime is initialized.
func Detect() (version uint32, domain uint16, known bool) {
	_, b, c, d := cpuid(0)
	// "AuthenticAMD" and "HygonGenuine".
	amd = b == 0x68747541 && d == 0x69746e65 && c == 0x444d4163 ||
		b == 0x6f677948 && d == 0x6e65476e && c == 0x656e6975
	for base := uint32(abi.CPUIDBase); base < abi.CPUIDLast; base += abi.CPUIDStep {
		last, b, c, d := cpuid(base)
		if b != abi.SignatureEBX || c != abi.SignatureECX || d != abi.SignatureEDX {
			continue
		}
		version, _, _, _ = cpuid(base + abi.CPUIDVersion)
		if last >= base+abi.CPUIDHvm {
			flags, _, id, _ := cpuid(base + abi.CPUIDHvm)
			return version, uint16(id), flags&abi.CPUIDHvmDomidEAX != 0
		}
		return version, 0, false
	}
	return 0, 0, false
}

// Param returns a parameter of this domain (public/hvm/params.h), or 0 if Xen
// returns an error.
func Param(index uint32) uint64 {
	p := abi.HvmParam{Domid: abi.DomIDSelf, Index: index}
	if call(abi.HvmOp, abi.HvmGetParam, &p) != 0 {
		return 0
	}
	return p.Value
}

// SetUpcallVector makes Xen deliver events by an interrupt vector. The handler need
// not acknowledge the interrupt at any controller.
func SetUpcallVector(vector uint8) error {
	p := abi.HvmParam{Domid: abi.DomIDSelf, Index: abi.ParamCallbackIRQ,
		Value: abi.CallbackTypeVector<<abi.CallbackTypeShift | uint64(vector)}
	return check(call(abi.HvmOp, abi.HvmSetParam, &p))
}

// ClearUpcallVector makes Xen deliver no events in a domain that has not called
// SetUpcallVector. For a PVH domain Xen does not undo that call (hvm_set_callback_via in
// xen/arch/x86/hvm/irq.c).
func ClearUpcallVector() error {
	p := abi.HvmParam{Domid: abi.DomIDSelf, Index: abi.ParamCallbackIRQ}
	return check(call(abi.HvmOp, abi.HvmSetParam, &p))
}

// MapFrame maps a frame of one of Xen's spaces, such as abi.MapSpaceSharedInfo, at
// a physical address of this domain.
func MapFrame(space uint32, index, addr uint64) error {
	a := abi.AddToPhysmap{Domid: abi.DomIDSelf, Space: space, Idx: index, Gpfn: addr >> 12}
	return check(call(abi.MemoryOp, abi.AddToPhysmapOp, &a))
}

// UnmapFrame removes what MapFrame has mapped at a physical address.
func UnmapFrame(addr uint64) error {
	r := abi.RemoveFromPhysmap{Domid: abi.DomIDSelf, Gpfn: addr >> 12}
	return check(call(abi.MemoryOp, abi.RemoveFromPhysmapOp, &r))
}

// MemoryMap fills b with Xen's map of this domain's memory and returns the number
// of entries, of abi.E820EntrySize bytes each. It returns 0 on error.
func MemoryMap(b []byte) int {
	m := abi.MemoryMap{Entries: uint32(len(b) / abi.E820EntrySize), Buffer: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))}
	r := call(abi.MemoryOp, abi.MemoryMapOp, &m)
	runtime.KeepAlive(b)
	if r != 0 {
		return 0
	}
	return int(m.Entries)
}

// Shutdown ends the domain, for a reason such as abi.ShutdownPoweroff.
//
//go:nosplit
func Shutdown(reason uint32) { call(abi.SchedOp, abi.SchedShutdown, &reason) }

// Poll blocks the virtual CPU until an event is pending at a port, masked or not,
// or until a system time in nanoseconds.
//
//go:nosplit
func Poll(port uint32, until uint64) {
	a := abi.SchedPollArg{Ports: uint64(uintptr(unsafe.Pointer(&port))), NrPorts: 1, Timeout: until}
	call(abi.SchedOp, abi.SchedPoll, &a)
	runtime.KeepAlive(&port)
}

// PollAny is like Poll for any of up to 128 ports; until 0 is no limit.
//
//go:nosplit
func PollAny(ports []uint32, until uint64) {
	a := abi.SchedPollArg{Ports: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(ports)))), NrPorts: uint32(len(ports)), Timeout: until}
	call(abi.SchedOp, abi.SchedPoll, &a)
	runtime.KeepAlive(ports)
}

// SetTimer makes Xen raise VIRQ_TIMER once, at a system time in nanoseconds; 0
// stops the timer.
//
//go:nosplit
func SetTimer(at uint64) { hypercall(abi.SetTimerOp, at, nil, 0) }

// Send raises an event at the other end of a port.
func Send(port uint32) error { return check(SendRaw(port)) }

// SendRaw is like Send, for code that must not allocate. Its result is negative on
// failure.
//
//go:nosplit
func SendRaw(port uint32) int64 {
	p := abi.EvtchnPort{Port: port}
	return call(abi.EventChannelOp, abi.EvtchnSend, &p)
}

// BindTimer opens a port for VIRQ_TIMER of virtual CPU 0.
func BindTimer() (port uint32, err error) {
	b := abi.BindVirq{Virq: abi.VirqTimer}
	err = check(call(abi.EventChannelOp, abi.EvtchnBindVirq, &b))
	return b.Port, err
}

// SharedInfoAt returns the shared information page at an address.
func SharedInfoAt(addr uint64) *abi.SharedInfo {
	return (*abi.SharedInfo)(unsafe.Pointer(uintptr(addr)))
}
