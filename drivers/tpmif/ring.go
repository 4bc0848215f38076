package tpmif

import (
	"encoding/binary"

	"stubtpm/drivers/xen"
)

// A ring is the backend's end of one connected page. The peer may write any byte
// of the page at any moment, so each field is read once and the copy is checked.
type ring struct {
	page   *xen.Page
	events xen.Channel
	conn   Conn
	log    func(format string, args ...any)
	peer   Peer
	unmap  func() error

	stop, done chan struct{}
}

// minPacket is the size in bytes of a TPM header.
const minPacket = 10

// rcCommandSize and rcFailure are response codes of the TPM 2.0 library (Part
// 2, table "TPM_RC"), for a command that is not passed to the TPM and for a
// response that does not fit the page.
const (
	rcCommandSize = 0x142
	rcFailure     = 0x101
)

// ErrorResponse returns a response of 10 bytes with a response code (TPM 2.0 Library, Part
// 1, "Response Code"), for a command that does not reach the TPM.
func ErrorResponse(rc uint32) []byte {
	b := []byte{0x80, 0x01, 0, 0, 0, minPacket, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[6:], rc)
	return b
}

// serve answers requests until close. It polls the page once before it waits,
// because the first request may have come before the channel was bound.
func (r *ring) serve() {
	defer close(r.done)
	defer r.conn.Close()
	for {
		r.poll()
		select {
		case _, ok := <-r.events.C():
			if !ok {
				return
			}
		case <-r.stop:
			return
		}
	}
}

// poll acts on the state of the page.
func (r *ring) poll() {
	switch r.page.Load8(offState) {
	case stateSubmit:
		r.request()
	case stateCancel:
		r.finish(stateIdle) // no command is in progress
	}
}

// request runs the request in the page and writes a response, also to a
// malformed request.
func (r *ring) request() {
	length := r.page.Load32(offLength)
	locality := r.page.Load8(offLocality)
	offset, capacity := packet(r.page.Load8(offExtra))
	if length < minPacket || uint64(length) > uint64(capacity) {
		r.respond(offset, ErrorResponse(rcCommandSize))
		return
	}
	command := make([]byte, length)
	r.page.CopyOut(command, offset)

	result := make(chan []byte, 1)
	go func() { result <- r.conn.Execute(locality, command) }()
	for {
		select {
		case response := <-result:
			if len(response) > capacity {
				r.log("tpmif: %v: response of %d bytes, room for %d", r.peer, len(response), capacity)
				response = ErrorResponse(rcFailure)
			}
			r.respond(offset, response)
			return
		case _, ok := <-r.events.C():
			if !ok {
				r.conn.Cancel()
				<-result
				return
			}
			if r.page.Load8(offState) == stateCancel {
				r.conn.Cancel()
			}
		case <-r.stop:
			r.conn.Cancel()
			<-result
			return
		}
	}
}

// respond writes a response in place of the request, then the state.
func (r *ring) respond(offset int, response []byte) {
	r.page.CopyIn(offset, response)
	r.page.Store32(offLength, uint32(len(response)))
	r.finish(stateFinish)
}

func (r *ring) finish(state uint8) {
	r.page.Store8(offState, state)
	if err := r.events.Notify(); err != nil {
		r.log("tpmif: %v: notify: %v", r.peer, err)
	}
}

// close cancels the command in progress and unmaps the page.
func (r *ring) close() error {
	close(r.stop)
	<-r.done
	err := r.events.Close()
	if e := r.unmap(); e != nil {
		err = e
	}
	return err
}
