//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// A serialized connection writes one request at a time to /dev/xen/xenbus, and
// the next one only after the reply.
//
// Linux replies to a WATCH inside the write call, with a lock held that the
// delivery of any other reply needs (drivers/xen/xenbus/xenbus_dev_frontend.c,
// msgbuffer_mutex in xenbus_file_write and xenbus_dev_queue_reply). A WATCH that
// is written while another request is in flight therefore hangs the device
// permanently, and with it every other user of the kernel's xenstore connection.
type serialized struct {
	file io.ReadWriteCloser
	busy chan struct{} // full while a request is in flight

	closed chan struct{}
	once   sync.Once

	// The message being read; used by Read only.
	header [storeHeader]byte
	have   int    // bytes of the header
	left   uint32 // bytes of the body still to come
}

// The wire format (public/io/xs_wire.h, struct xsd_sockmsg: type, request,
// transaction, length, of 32 bits each).
const (
	storeHeader     = 16
	storeWatchEvent = 15 // XS_WATCH_EVENT, the only message that is not a reply
)

// serialize returns a serialized connection over an open /dev/xen/xenbus, which it
// takes over.
func serialize(file io.ReadWriteCloser) *serialized {
	return &serialized{file: file, busy: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Write writes one whole request, after the reply to the one before.
func (s *serialized) Write(p []byte) (int, error) {
	select {
	case s.busy <- struct{}{}:
	case <-s.closed:
		return 0, os.ErrClosed
	}
	n, err := s.file.Write(p)
	if err != nil {
		<-s.busy // there will be no reply
	}
	return n, err
}

// Read reads bytes of messages, and lets the next request through at the end of
// each reply.
func (s *serialized) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.follow(p[:n])
	if err != nil {
		s.once.Do(func() { close(s.closed) })
	}
	return n, err
}

// follow parses the bytes read.
func (s *serialized) follow(p []byte) {
	for len(p) > 0 {
		if s.have < storeHeader {
			n := copy(s.header[s.have:], p)
			s.have += n
			p = p[n:]
			if s.have < storeHeader {
				return
			}
			s.left = binary.LittleEndian.Uint32(s.header[12:])
		}
		n := min(uint64(s.left), uint64(len(p)))
		s.left -= uint32(n)
		p = p[n:]
		if s.left > 0 {
			return
		}
		s.have = 0
		if binary.LittleEndian.Uint32(s.header[:]) != storeWatchEvent {
			select {
			case <-s.busy:
			default: // a reply without a request
			}
		}
	}
}

// Close closes the device and unblocks Write.
func (s *serialized) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.file.Close()
}
