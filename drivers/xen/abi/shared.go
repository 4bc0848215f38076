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
	// UpcallPending holds evtchn_upcall_pending in its lowest byte. An HVM
	// guest ignores the bytes above, evtchn_upcall_mask and padding.
	UpcallPending uint32
	_             uint32
	PendingSel    uint64
	_             [2]uint64 // arch_vcpu_info
	Time          VcpuTimeInfo
}

// EventWords is the number of 64-bit words of event bits, and EventChannels the
// number of ports (two-level ABI, public/event_channel.h).
const (
	EventWords    = 64
	EventChannels = EventWords * 64
)

// SharedInfo is the part of struct shared_info (public/xen.h) that is in use.
type SharedInfo struct {
	Vcpu       [32]VcpuInfo
	EvtchnPend [EventWords]uint64
	EvtchnMask [EventWords]uint64
	WcVersion  uint32
	WcSec      uint32 // wall clock at system time 0
	WcNsec     uint32
	WcSecHi    uint32
}
