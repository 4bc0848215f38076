package tpmif

// Layout of the shared page (struct vtpm_shared_page). Numbers are
// little-endian.
//
//	 0  4  length of the request or response, in bytes
//	 4  1  state
//	 5  1  locality of the request; the frontend writes it
//	 6  1  padding
//	 7  1  number n of extra pages; the frontend writes it
//	 8 4n  grant references of extra pages; never mapped by any backend
//	8+4n   the packet
const (
	offLength   = 0
	offState    = 4
	offLocality = 5
	offExtra    = 7
	offData     = 8
)

// MaxPacket is the size in bytes of the largest command or response: a page
// without the header, with no extra pages.
const MaxPacket = 4096 - offData

// State of the shared page (enum vtpm_state). The frontend writes submit and
// cancel, the backend idle and finish.
const (
	stateIdle   = 0
	stateSubmit = 1
	stateFinish = 2
	stateCancel = 3
)

// packet returns the offset of the packet and the largest size that it can
// have, in bytes, for a number of extra pages. Even 255 of them leave room.
func packet(extra uint8) (offset, capacity int) {
	offset = offData + 4*int(extra)
	return offset, 4096 - offset
}
