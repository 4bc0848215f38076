package xenstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An op is a type of message (public/io/xs_wire.h, enum xsd_sockmsg_type).
type op uint32

const (
	opDirectory        op = 1
	opRead             op = 2
	opGetPerms         op = 3
	opWatch            op = 4
	opUnwatch          op = 5
	opTransactionStart op = 6
	opTransactionEnd   op = 7
	opWrite            op = 11
	opMkdir            op = 12
	opRemove           op = 13
	opSetPerms         op = 14
	opWatchEvent       op = 15
	opError            op = 16
	opDirectoryPart    op = 20
)

const (
	headerSize = 16   // type, req_id, tx_id, len: each 32 bits, little-endian
	maxPayload = 4096 // XENSTORE_PAYLOAD_MAX
)

// A message is one request, reply or watch event.
type message struct {
	op      op
	req, tx uint32
	body    []byte
}

func (m *message) append(b []byte) []byte {
	for _, v := range []uint32{uint32(m.op), m.req, m.tx, uint32(len(m.body))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return append(b, m.body...)
}

var errProtocol = errors.New("xenstore: malformed message")

// parse parses the first message of b and returns the rest of b. If b is too short,
// it returns in need how long b must be at least, otherwise zero.
func parse(b []byte) (m message, rest []byte, need int, err error) {
	if len(b) < headerSize {
		return m, b, headerSize, nil
	}
	n := binary.LittleEndian.Uint32(b[12:])
	if n > maxPayload {
		return m, b, 0, fmt.Errorf("%w: payload of %d bytes", errProtocol, n)
	}
	end := headerSize + int(n)
	if len(b) < end {
		return m, b, end, nil
	}
	m = message{
		op:  op(binary.LittleEndian.Uint32(b)),
		req: binary.LittleEndian.Uint32(b[4:]), tx: binary.LittleEndian.Uint32(b[8:]),
		body: append([]byte(nil), b[headerSize:end]...),
	}
	return m, b[end:], 0, nil
}

// readMessage reads one message from a stream.
func readMessage(r io.Reader) (message, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return message{}, err
	}
	_, _, need, err := parse(h[:])
	if err != nil {
		return message{}, err
	}
	b := h[:]
	if need > headerSize {
		b = make([]byte, need)
		copy(b, h[:])
		if _, err := io.ReadFull(r, b[headerSize:]); err != nil {
			return message{}, err
		}
	}
	m, _, _, err := parse(b)
	return m, err
}
