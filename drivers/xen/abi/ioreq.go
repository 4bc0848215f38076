package abi

// A page of ioreq requests has a slot for each virtual processor (public/hvm/ioreq.h,
// struct ioreq). Offsets within a slot, in bytes; Xen writes all fields but the data of
// a read.
const (
	IOReqSlot = 32 // size of a slot

	IOReqAddr  = 0  // u64: first port
	IOReqData  = 8  // u64
	IOReqCount = 16 // u32: 1 unless the instruction has a REP prefix
	IOReqSize  = 20 // u32: bytes of each access
	IOReqPort  = 24 // u32: event channel port to bind to
	IOReqState = 30 // u8: see below
	IOReqType  = 31 // u8
)

// The byte at IOReqState has the state in four bits, then flags.
const (
	IOReqStateMask = 0xF
	IOReqDataIsPtr = 1 << 4 // data is a guest-physical address
	IOReqRead      = 1 << 5
)

// States of a slot.
const (
	IOReqReady      = 1 // Xen has written a request
	IOReqInProcess  = 2 // the server works on it
	IOReqResponse   = 3 // the server has answered
	IOReqPIO        = 0 // a type: an access to ports
	IOReqInvalidate = 8 // a type: pages that the server has mapped may be gone
)
