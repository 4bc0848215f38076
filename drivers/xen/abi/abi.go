package abi

// Hypercalls (public/xen.h).
const (
	MemoryOp       = 12
	SetTimerOp     = 15
	GrantTableOp   = 20
	SchedOp        = 29
	EventChannelOp = 32
	HvmOp          = 34
)

// Operations of SchedOp, and reasons for SchedShutdown (public/sched.h).
const (
	SchedShutdown = 2
	SchedPoll     = 3

	ShutdownPoweroff = 0
	ShutdownCrash    = 3
)

// SchedPollArg is struct sched_poll; Timeout is a system time, in nanoseconds.
type SchedPollArg struct {
	Ports   uint64 // address of the port numbers, 32 bits each
	NrPorts uint32
	_       uint32
	Timeout uint64
}

// Operations and parameters of HvmOp (public/hvm/hvm_op.h, public/hvm/params.h).
const (
	HvmSetParam = 0
	HvmGetParam = 1

	ParamCallbackIRQ    = 0
	ParamStorePFN       = 1
	ParamStoreEvtchn    = 2
	ParamConsolePFN     = 17
	ParamConsoleEvtchn  = 18
	CallbackTypeVector  = 2 // HVM_PARAM_CALLBACK_TYPE_VECTOR
	CallbackTypeShift   = 56
	SpecialPagesBase    = 0xfeff8 // first frame of xenstore, console and others
	SpecialPagesPastEnd = 0xff000
)

// HvmParam is struct xen_hvm_param.
type HvmParam struct {
	Domid uint16
	_     uint16
	Index uint32
	Value uint64
}

// Operations of MemoryOp, and spaces of AddToPhysmap (public/memory.h).
const (
	AddToPhysmapOp      = 7
	MemoryMapOp         = 9
	RemoveFromPhysmapOp = 15

	MapSpaceSharedInfo = 0
	MapSpaceGrantTable = 1
)

// AddToPhysmap is struct xen_add_to_physmap.
type AddToPhysmap struct {
	Domid uint16
	Size  uint16
	Space uint32
	Idx   uint64
	Gpfn  uint64
}

// RemoveFromPhysmap is struct xen_remove_from_physmap.
type RemoveFromPhysmap struct {
	Domid uint16
	_     [3]uint16
	Gpfn  uint64
}

// MemoryMap is struct xen_memory_map; Buffer is the address of E820EntrySize
// bytes for each entry: address and size of 64 bits, type of 32.
type MemoryMap struct {
	Entries uint32
	_       uint32
	Buffer  uint64
}

// E820EntrySize is the size in bytes of struct e820entry.
const E820EntrySize = 20

// CPUID leaves for guests (public/arch-x86/cpuid.h). The base is the one of
// 0x40000000, 0x40000100 and so on up to 0x40010000 that has the signature.
const (
	CPUIDBase = 0x40000000
	CPUIDStep = 0x100
	CPUIDLast = 0x40010000
	// Signature "XenVMMXenVMM" in EBX, ECX, EDX.
	SignatureEBX = 0x566e6558
	SignatureECX = 0x65584d4d
	SignatureEDX = 0x4d4d566e

	CPUIDVersion     = 1 // EAX: major << 16 | minor
	CPUIDHvm         = 4
	CPUIDHvmDomidEAX = 1 << 4 // the domain id is in ECX
)

// DomIDSelf is DOMID_SELF (public/xen.h).
const DomIDSelf = 0x7ff0
