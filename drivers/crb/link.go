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

	// Token returns the token of what is in the TPM since the last command; zeros for
	// none.
	Token() [TokenSize]byte

	// Kept reports whether the guest was restored with the memory that belongs to the TPM:
	// a command that waits in it was not executed.
	Kept() bool
}

// A link is a connected control area. The guest may write any byte of its pages at any
// moment, so each word is read once and the copy is checked.
type link struct {
	control *xen.Page
	buffer  memory
	events  xen.Channel
	conn    Conn
	log     func(format string, args ...any)
	peer    tpmif.Peer

	firmware bool // the guest does not run yet: signals and localities count
	// A command that is there before anything else was given to another TPM's domain, which
	// may have executed it.
	stale bool
	unmap func() error

	stop, done chan struct{}
	cancel     bool // stop also cancels the command in progress; set before stop is closed
}

// memory is a guest's buffer.
type memory interface {
	copyOut(dst []byte)
	copyIn(src []byte)
}

// minPacket is the size in bytes of a TPM header; its length is a big-endian word at
// packetLength.
const (
	minPacket    = 10
	packetLength = 2
)

// Response codes of the TPM 2.0 library (Part 2, table "TPM_RC"). TPM_RC_REBOOT means that
// the TPM has to be started again: whoever sent the command must find out what is left.
const (
	rcReboot      = 0x130
	rcCommandSize = 0x142
	rcFailure     = 0x101
)

// serve answers requests until close. It looks before it waits: the first request may
// have come before the channel was bound.
func (l *link) serve() {
	defer close(l.done)
	defer l.conn.Close()
	l.mark(l.conn.Token())
	if l.stale && l.control.Load32(offStart)&1 != 0 {
		l.buffer.copyIn(tpmif.ErrorResponse(rcReboot))
		l.finish()
	}
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
	l.request()
	l.finish()
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
// command.
func (l *link) request() {
	var header [minPacket]byte
	l.buffer.copyOut(header[:])
	length := binary.BigEndian.Uint32(header[packetLength:])
	if length < minPacket || length > BufferSize {
		l.buffer.copyIn(tpmif.ErrorResponse(rcCommandSize))
		return
	}
	command := make([]byte, length)
	l.buffer.copyOut(command)
	// The guest may have changed the header since.
	binary.BigEndian.PutUint32(command[packetLength:], length)
	locality := uint8(0)
	if l.firmware {
		locality = uint8(min(l.control.Load32(offLocality), 0xFF))
	}
	l.mark([TokenSize]byte{})
	response := l.execute(locality, command)
	if len(response) > BufferSize {
		l.log("crb: %v: response of %d bytes, room for %d", l.peer, len(response), BufferSize)
		response = tpmif.ErrorResponse(rcFailure)
	}
	l.buffer.copyIn(response)
}

// execute runs a command, which the guest may cancel. If the link is closed meanwhile it
// still returns the response: the command would else be executed once more by the next
// link.
func (l *link) execute(locality uint8, command []byte) []byte {
	result := make(chan []byte, 1)
	go func() { result <- l.conn.Execute(locality, command) }()
	events, stop := l.events.C(), l.stop
	for {
		select {
		case response := <-result:
			return response
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if l.control.Load32(offCancel)&1 != 0 {
				l.conn.Cancel()
			}
			l.notify() // the bell that brought the event is answered
		case <-stop:
			stop = nil
			if l.cancel {
				l.conn.Cancel()
			}
		}
	}
}

// mark writes a token.
func (l *link) mark(t [TokenSize]byte) { l.control.CopyIn(TokenOffset, t[:]) }

// finish tells the guest that the response is there. The token comes first: a guest that does
// not wait for its TPM may be saved.
func (l *link) finish() {
	l.mark(l.conn.Token())
	l.control.Store32(offStatus, 0)
	l.control.Store32(offStart, 0)
	l.notify()
}

func (l *link) notify() {
	if err := l.events.Notify(); err != nil {
		l.log("crb: %v: notify: %v", l.peer, err)
	}
}

// close waits for the command in progress, or cancels it, and unmaps the pages.
func (l *link) close(cancel bool) error {
	l.cancel = cancel
	close(l.stop)
	<-l.done
	err := l.events.Close()
	if e := l.unmap(); e != nil {
		err = e
	}
	return err
}
