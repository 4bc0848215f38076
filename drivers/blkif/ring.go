package blkif

import (
	"encoding/binary"
	"errors"
	"fmt"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
)

// Layout of the ring page (public/io/ring.h, DEFINE_RING_TYPES).
//
//	 0  4  req_prod: number of requests, written by the frontend
//	 4  4  req_event: value of req_prod at which the backend wants an event
//	 8  4  rsp_prod: number of responses, written by the backend
//	12  4  rsp_event: value of rsp_prod at which the frontend wants an event
//	64     slots of 112 bytes, each for a request and then for its response
const (
	offReqProd  = 0
	offReqEvent = 4
	offRspProd  = 8
	offRspEvent = 12
	offSlots    = 64

	slotSize = 112
	slots    = 32 // (4096-64)/112, down to a power of two
)

// Layout of a request (struct blkif_request, 64 bits).
//
//	 0  1  operation
//	 1  1  number of segments
//	 2  2  handle of the device
//	 8  8  id, which the response repeats
//	16  8  first sector
//	24 8n  segments: grant 4, first sector in page 1, last sector 1, padding 2
//
// Layout of a response (struct blkif_response): id 8, operation 1, padding 1,
// status 2.
const (
	opRead    = 0
	opWrite   = 1
	opBarrier = 2
	opFlush   = 3

	statusOK          = 0
	statusError       = -1
	statusUnsupported = -2

	maxSegments    = 11 // BLKIF_MAX_SEGMENTS_PER_REQUEST
	pageSectors    = xen.PageSize / block.SectorSize
	requestHeader  = 24
	segmentSize    = 8
	responseLength = 12
)

// Errors of requests. After ErrBackend and ErrBroken the device cannot be used
// any more: the backend may still write to its pages.
var (
	ErrBackend  = errors.New("blkif: backend broke the protocol")
	ErrBroken   = errors.New("blkif: device is broken")
	ErrIO       = errors.New("blkif: backend reports an I/O error")
	ErrNoFlush  = errors.New("blkif: backend cannot flush: writes would not be durable")
	ErrReadOnly = errors.New("blkif: disk is read-only")
)

// A ring is the frontend's side of the shared page. At most one request is
// in flight.
type ring struct {
	page    *xen.Page
	handle  uint16
	reqProd uint32
	rspCons uint32
	id      uint64
}

// init prepares the page, with all counters at start.
func (r *ring) init(start uint32) {
	r.reqProd, r.rspCons = start, start
	r.page.Store32(offReqProd, start)
	r.page.Store32(offReqEvent, start+1)
	r.page.Store32(offRspProd, start)
	r.page.Store32(offRspEvent, start+1)
}

// A segment is a part of a granted page.
type segment struct {
	ref         xen.GrantRef
	first, last uint8
}

// submit puts a request into the ring.
//
// Preconditions: no request is in flight.
func (r *ring) submit(op uint8, sector uint64, segments []segment) {
	r.id++
	var b [slotSize]byte
	b[0], b[1] = op, uint8(len(segments))
	binary.LittleEndian.PutUint16(b[2:], r.handle)
	binary.LittleEndian.PutUint64(b[8:], r.id)
	binary.LittleEndian.PutUint64(b[16:], sector)
	for i, s := range segments {
		at := b[requestHeader+segmentSize*i:]
		binary.LittleEndian.PutUint32(at, uint32(s.ref))
		at[4], at[5] = s.first, s.last
	}
	r.page.CopyIn(offSlots+int(r.reqProd%slots)*slotSize, b[:])
	r.reqProd++
	r.page.Store32(offRspEvent, r.rspCons+1)
	r.page.Store32(offReqProd, r.reqProd)
}

// response takes the response to the request in flight out of the ring, and
// reports whether there was one. Counters wrap at 2^32.
func (r *ring) response(op uint8) (done bool, err error) {
	waiting := r.page.Load32(offRspProd) - r.rspCons
	if waiting == 0 {
		return false, nil
	}
	if waiting > r.reqProd-r.rspCons {
		return false, fmt.Errorf("%w: %d responses to %d requests", ErrBackend, waiting, r.reqProd-r.rspCons)
	}
	var b [responseLength]byte
	r.page.CopyOut(b[:], offSlots+int(r.rspCons%slots)*slotSize)
	r.rspCons++
	if id := binary.LittleEndian.Uint64(b[:]); id != r.id || b[8] != op {
		return false, fmt.Errorf("%w: response %d of type %d to request %d of type %d", ErrBackend, id, b[8], r.id, op)
	}
	switch status := int16(binary.LittleEndian.Uint16(b[10:])); status {
	case statusOK:
		return true, nil
	case statusUnsupported:
		if op == opFlush || op == opBarrier {
			return true, ErrNoFlush
		}
		return true, ErrIO
	case statusError:
		return true, ErrIO
	default:
		return true, fmt.Errorf("%w: status %d", ErrIO, status)
	}
}
