package crb

import (
	"encoding/binary"

	"stubtpm/drivers/xen"
)

// Where a guest has its TPM, in frames of guest-physical memory: below the pages at
// 0xFEFF8000 that Xen's toolstack uses, and where a PC has the registers of a TPM.
const (
	ControlFrame = 0xFED45
	BufferFrame  = 0xFED46 // the first of BufferPages
	TablesFrame  = 0xFED48 // ACPI tables
	LogFrame     = 0xFED50 // event log, eventlog.AreaSize bytes
)

const (
	// BufferPages is the number of pages of the buffer. Both commands and responses of
	// version 1.85 of the TPM 2.0 library, with ML-DSA and ML-KEM, fit into two.
	BufferPages = 2
	// BufferSize is the size of the buffer in bytes. A command's response takes its
	// place.
	BufferSize = BufferPages * xen.PageSize
)

// The doorbell is an I/O port of 32 bits. PVH domains have no device at these.
const (
	DoorbellPort = 0x5B0
	DoorbellSize = 4
)

// Grant references that share the pages. They are of the first eight, which the
// toolstack writes and Linux does not use.
const (
	ControlRef = 2
	BufferRef  = 3 // the first of BufferPages
)

// Fields of the control area: offsets in bytes (PTP, table "CRB Interface Register
// Space"; TCG ACPI Specification 1.4, table "Control Area"). Addresses are of 64 bits, all
// others of 32.
const (
	offStatus       = 0x04 // set to 0
	offCancel       = 0x08 // 1: cancel the command
	offStart        = 0x0C // 1: there is a command; the TPM sets 0 when its response is there
	offCommandSize  = 0x18
	offCommand      = 0x1C // guest-physical address
	offResponseSize = 0x24
	offResponse     = 0x28 // guest-physical address
)

// Fields of our own behind the control area, which the TPM reads only before the guest
// runs. 32 bits each.
const (
	offSignal   = 0x40 // what START stands for, a Signal
	offLocality = 0x44 // locality of a command
	offLength   = 0x48 // bytes in the buffer for SignalHashData
)

// The token of a control area is TokenSize bytes at TokenOffset. The TPM writes another one
// after each command, and zeros while one runs; it reads none. Whoever has the guest's memory
// restored finds in it which state of the TPM the memory belongs to.
const (
	TokenOffset = 0x80
	TokenSize   = 32
)

// A Signal is what the platform tells its TPM besides commands. They reach it only before
// the guest runs.
type Signal uint32

// The signals _TPM_Init, _TPM_Hash_Start, _TPM_Hash_Data and _TPM_Hash_End (TPM 2.0
// Library, Part 1, "TPM Interactions"), and the end of them all: the guest runs from now
// on. 0 is a command.
const (
	signalCommand   Signal = 0
	SignalInit      Signal = 1
	SignalHashStart Signal = 2
	SignalHashData  Signal = 3
	SignalHashEnd   Signal = 4
	SignalGuestRuns Signal = 5
)

// Clear makes a control area: zeros, with the addresses and sizes of the buffer.
func Clear(control *xen.Page) {
	var b [xen.PageSize]byte
	const address = BufferFrame * xen.PageSize
	binary.LittleEndian.PutUint32(b[offCommandSize:], BufferSize)
	binary.LittleEndian.PutUint64(b[offCommand:], address)
	binary.LittleEndian.PutUint32(b[offResponseSize:], BufferSize)
	binary.LittleEndian.PutUint64(b[offResponse:], address)
	control.CopyIn(0, b[:])
}

// A buffer is the pages of a command or response.
type buffer []*xen.Page

// copyOut copies bytes from the start of the buffer into dst.
func (b buffer) copyOut(dst []byte) {
	for _, p := range b {
		dst = dst[p.CopyOut(dst, 0):]
	}
}

// copyIn copies src to the start of the buffer.
func (b buffer) copyIn(src []byte) {
	for _, p := range b {
		src = src[p.CopyIn(0, src):]
	}
}
