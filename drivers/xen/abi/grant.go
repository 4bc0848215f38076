package abi

// Operations of GrantTableOp (public/grant_table.h).
const (
	GrantMapRef    = 0
	GrantUnmapRef  = 1
	GrantQuerySize = 6
)

// A grant entry of version 1 is one 64-bit word here: flags and domain ID of 16
// bits each, frame number of 32. The toolstack uses the first GrantReserved
// entries.
const (
	GrantsPerFrame = 512
	GrantReserved  = 8

	GrantPermitAccess = 1
	GrantReading      = 1 << 3 // GTF_reading: the peer maps it
	GrantWriting      = 1 << 4
	GrantFlagsMask    = 0xffff
	GrantDomidShift   = 16
	GrantFrameShift   = 32
)

// Flags of MapGrantRef.
const GrantMapHost = 1 << 1

// Statuses (GNTST_*); there are more.
const (
	GrantOkay  = 0
	GrantAgain = -12
)

// MapGrantRef is struct gnttab_map_grant_ref.
type MapGrantRef struct {
	HostAddr   uint64
	Flags      uint32
	Ref        uint32
	Dom        uint16
	Status     int16  // out
	Handle     uint32 // out
	DevBusAddr uint64 // out
}

// UnmapGrantRef is struct gnttab_unmap_grant_ref.
type UnmapGrantRef struct {
	HostAddr   uint64
	DevBusAddr uint64
	Handle     uint32
	Status     int16 // out
	_          uint16
}

// QueryGrantSize is struct gnttab_query_size.
type QueryGrantSize struct {
	Dom       uint16
	_         uint16
	Frames    uint32 // out
	MaxFrames uint32 // out
	Status    int16  // out
	_         uint16
}
