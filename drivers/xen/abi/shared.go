package abi

// VcpuTimeInfo is struct vcpu_time_info (public/xen.h). Version is odd while
// Xen changes it.
type VcpuTimeInfo struct {
	Version        uint32
	_              uint32
	TscTimestamp   uint64
	SystemTime     uint64 // nanoseconds since boot at TscTimestamp
	TscToSystemMul uint32
	TscShift       int8
	Flags          uint8
	_              [2]uint8
}

// VcpuInfo is struct vcpu_info (public/xen.h).
type VcpuInfo struct {
	// UpcallPending is the byte evtchn_upcall_pending; the bytes above it,
	// evtchn_upcall_mask and padding, are of no use to an HVM guest.
	UpcallPending uint32
	_             uint32
	PendingSel    uint64
	_             [2]uint64 // arch_vcpu_info
	Time          VcpuTimeInfo
}

// EventWords is the number of 64-bit words of event bits, and EventChannels how
// many ports there are (two-level ABI, public/event_channel.h).
const (
	EventWords    = 64
	EventChannels = EventWords * 64
)

// SharedInfo is struct shared_info (public/xen.h) as far as it is used.
type SharedInfo struct {
	Vcpu       [32]VcpuInfo
	EvtchnPend [EventWords]uint64
	EvtchnMask [EventWords]uint64
	WcVersion  uint32
	WcSec      uint32 // wall clock at system time 0
	WcNsec     uint32
	WcSecHi    uint32
}
