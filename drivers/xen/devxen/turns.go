//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// turns lets one request at a time into /dev/xen/xenbus and the next only after
// its answer.
//
// Linux answers a WATCH inside the write call, which holds a lock that the
// delivery of any other answer needs (drivers/xen/xenbus/xenbus_dev_frontend.c,
// msgbuffer_mutex in xenbus_file_write and xenbus_dev_queue_reply): a WATCH
// written while another request is under way hangs the device forever, and
// with it every other user of the kernel's xenstore connection.
type turns struct {
	file io.ReadWriteCloser
	turn chan struct{} // full while a request is under way

	closed chan struct{}
	once   sync.Once

	// Of the message being read; used by Read only.
	header [storeHeader]byte
	have   int    // bytes of the header
	left   uint32 // bytes of the body still to come
}

// Of the wire format (public/io/xs_wire.h, struct xsd_sockmsg: type, request,
// transaction, length).
const (
	storeHeader     = 16
	storeWatchEvent = 15 // XS_WATCH_EVENT, the one message that answers nothing
)

func newTurns(file io.ReadWriteCloser) *turns {
	return &turns{file: file, turn: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Write writes one whole request, once the one before it is answered.
func (t *turns) Write(p []byte) (int, error) {
	select {
	case t.turn <- struct{}{}:
	case <-t.closed:
		return 0, os.ErrClosed
	}
	n, err := t.file.Write(p)
	if err != nil {
		<-t.turn // it will have no answer
	}
	return n, err
}

// Read reads, and watches for the end of each answer.
func (t *turns) Read(p []byte) (int, error) {
	n, err := t.file.Read(p)
	t.follow(p[:n])
	if err != nil {
		t.once.Do(func() { close(t.closed) })
	}
	return n, err
}

func (t *turns) follow(p []byte) {
	for len(p) > 0 {
		if t.have < storeHeader {
			n := copy(t.header[t.have:], p)
			t.have += n
			p = p[n:]
			if t.have < storeHeader {
				return
			}
			t.left = binary.LittleEndian.Uint32(t.header[12:])
		}
		n := min(uint64(t.left), uint64(len(p)))
		t.left -= uint32(n)
		p = p[n:]
		if t.left > 0 {
			return
		}
		t.have = 0
		if binary.LittleEndian.Uint32(t.header[:]) != storeWatchEvent {
			select {
			case <-t.turn:
			default: // an answer to nothing
			}
		}
	}
}

// Close closes the device and ends a Write that waits.
func (t *turns) Close() error {
	t.once.Do(func() { close(t.closed) })
	return t.file.Close()
}
