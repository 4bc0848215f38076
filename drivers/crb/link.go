package crb

import (
	"encoding/binary"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
)

// A Conn serves one guest. Its methods may be called from several goroutines.
type Conn interface {
	tpmif.Conn

	// Signal acts on a signal of the platform, with the bytes of SignalHashData. It is
	// called only for a connection that was opened for the firmware, and never after
	// SignalGuestRuns.
	Signal(s Signal, data []byte)
}

// A link is a connected control area. The guest may write any byte of its pages at any
// moment, so each word is read once and the copy is checked.
type link struct {
	control *xen.Page
	buffer  buffer
	events  xen.Channel
	conn    Conn
	log     func(format string, args ...any)
	peer    tpmif.Peer

	firmware bool // the guest does not run yet: signals and localities count
	unmap    func() error

	stop, done chan struct{}
}

// minPacket is the size in bytes of a TPM header; its length is a big-endian word at
// packetLength.
const (
	minPacket    = 10
	packetLength = 2
)

// rcCommandSize and rcFailure are response codes of the TPM 2.0 library (Part 2, table
// "TPM_RC").
const (
	rcCommandSize = 0x142
	rcFailure     = 0x101
)

func errorResponse(rc uint32) []byte {
	b := []byte{0x80, 0x01, 0, 0, 0, minPacket, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[6:], rc)
	return b
}

// serve answers requests until close. It looks before it waits: the first request may
// have come before the channel was bound, or under another TPM's domain.
func (l *link) serve() {
	defer close(l.done)
	defer l.conn.Close()
	for {
		l.poll()
		select {
		case _, ok := <-l.events.C():
			if !ok {
				return
			}
		case <-l.stop:
			return
		}
	}
}

// poll acts on START. The host waits for an event after each of its own, so that one is
// sent even if there is nothing to do.
func (l *link) poll() {
	if l.control.Load32(offStart)&1 == 0 {
		l.notify()
		return
	}
	if l.firmware {
		if s := Signal(l.control.Load32(offSignal)); s != signalCommand {
			l.signal(s)
			l.finish()
			return
		}
	}
	if l.request() {
		l.finish()
	}
}

// signal passes on a signal of the platform.
func (l *link) signal(s Signal) {
	var data []byte
	switch s {
	case SignalInit, SignalHashStart, SignalHashEnd, SignalGuestRuns:
	case SignalHashData:
		data = make([]byte, min(l.control.Load32(offLength), BufferSize))
		l.buffer.copyOut(data)
	default:
		l.log("crb: %v: unknown signal %d", l.peer, s)
		return
	}
	if s == SignalGuestRuns {
		l.firmware = false
	}
	l.conn.Signal(s, data)
}

// request runs the command in the buffer and writes a response, also to a malformed
// command. It reports whether the link goes on.
func (l *link) request() bool {
	var header [minPacket]byte
	l.buffer.copyOut(header[:])
	length := binary.BigEndian.Uint32(header[packetLength:])
	if length < minPacket || length > BufferSize {
		l.buffer.copyIn(errorResponse(rcCommandSize))
		return true
	}
	command := make([]byte, length)
	l.buffer.copyOut(command)
	// The guest may have changed the header since.
	binary.BigEndian.PutUint32(command[packetLength:], length)
	locality := uint8(0)
	if l.firmware {
		locality = uint8(min(l.control.Load32(offLocality), 0xFF))
	}
	response, ok := l.execute(locality, command)
	if !ok {
		return false
	}
	if len(response) > BufferSize {
		l.log("crb: %v: response of %d bytes, room for %d", l.peer, len(response), BufferSize)
		response = errorResponse(rcFailure)
	}
	l.buffer.copyIn(response)
	return true
}

// execute runs a command, which the guest may cancel. ok is false if the link was closed
// meanwhile: the command is then over, and its response is lost.
func (l *link) execute(locality uint8, command []byte) (response []byte, ok bool) {
	result := make(chan []byte, 1)
	go func() { result <- l.conn.Execute(locality, command) }()
	for {
		select {
		case response := <-result:
			return response, true
		case _, ok := <-l.events.C():
			if !ok {
				l.conn.Cancel()
				<-result
				return nil, false
			}
			if l.control.Load32(offCancel)&1 != 0 {
				l.conn.Cancel()
			}
			l.notify() // the bell that brought the event is answered
		case <-l.stop:
			l.conn.Cancel()
			<-result
			return nil, false
		}
	}
}

// finish tells the guest that the response is there.
func (l *link) finish() {
	l.control.Store32(offStatus, 0)
	l.control.Store32(offStart, 0)
	l.notify()
}

func (l *link) notify() {
	if err := l.events.Notify(); err != nil {
		l.log("crb: %v: notify: %v", l.peer, err)
	}
}

// close cancels the command in progress and unmaps the pages.
func (l *link) close() error {
	close(l.stop)
	<-l.done
	err := l.events.Close()
	if e := l.unmap(); e != nil {
		err = e
	}
	return err
}
