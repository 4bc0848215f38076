package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Values of swtpm's data channel: TPM commands and responses as they are, or
// framed as the Microsoft simulator frames them (swtpm(8),
// "tpm-send-command-header").
const (
	frameCommand = 8           // first word of a framed command; no TPM tag begins so
	frameHeader  = 4 + 1 + 4   // that word, locality, length
	ccSetLocal   = 0x2000_1000 // TPM2_SetLocality of Linux' vtpm proxy
)

// A Data serves swtpm's data channel.
type Data struct {
	Machine *Machine

	// Plain takes no framed commands. It is for the channel of CMD_SET_DATAFD:
	// QEMU never frames, but passes on what a guest writes, and a guest must not
	// choose its locality.
	Plain bool

	// AllowSetLocality takes the command TPM2_SetLocality of Linux' vtpm proxy.
	AllowSetLocality bool

	// Disconnect closes the connection after each response.
	Disconnect bool
}

// Serve answers one client until it leaves. It closes the connection.
//
// A command whose length is wrong is answered with TPM_RC_COMMAND_SIZE. Then
// the connection ends, because the beginning of the next command is not known;
// a plain one goes on after all that has arrived, because QEMU cannot open
// another.
func (d *Data) Serve(conn net.Conn) {
	conn = block(conn)
	defer conn.Close()
	buf := make([]byte, frameHeader+maxBuffer)
	for {
		req, err := d.read(conn, buf)
		if err != nil && !errors.Is(err, errCommandSize) {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				d.Machine.log("data channel: %v", err)
			}
			return
		}
		var rsp []byte
		if err != nil {
			if !d.Plain {
				d.Machine.log("data channel: %v", err)
			}
			rsp = errorResponse(rcCommandSize)
		} else {
			rsp = d.execute(req.locality, req.command)
		}
		if req.framed {
			rsp = append(words(uint32(len(rsp))), rsp...)
			rsp = append(rsp, 0, 0, 0, 0)
		}
		conn.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, e := conn.Write(rsp); e != nil || err != nil && !d.Plain || d.Disconnect {
			return
		}
	}
}

// A request is one command of the data channel.
type request struct {
	command  []byte
	locality uint8
	framed   bool
}

var errCommandSize = errors.New("impossible length of a command")

// read takes one command from the connection. Usually it comes by one read.
// The locality is that of the moment at which the command is complete: a client
// sets it by the control channel before it sends the command.
func (d *Data) read(conn net.Conn, buf []byte) (request, error) {
	n, err := conn.Read(buf)
	if n == 0 {
		return request{}, err
	}
	p := &partial{conn: conn, buf: buf, n: n}
	if err := p.fill(6); err != nil {
		return request{}, d.short(err)
	}
	if !d.Plain && binary.BigEndian.Uint32(buf) == frameCommand {
		return p.frame(d.Machine.longest())
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < headerSize || size > d.Machine.longest() {
		return request{}, fmt.Errorf("%w: %d bytes", errCommandSize, size)
	}
	if err := p.fill(int(size)); err != nil {
		return request{}, d.short(err)
	}
	// A client waits for each response, so what came with this command is
	// part of it: the device judges a length that is too small.
	return request{command: buf[:p.n], locality: d.Machine.Locality()}, nil
}

// short returns the error for a command whose rest did not come. The guest
// behind a plain channel decides what QEMU sends, so this must not end it.
func (d *Data) short(err error) error {
	if d.Plain && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", errCommandSize, err)
	}
	return err
}

// A partial is a message whose first n bytes have arrived.
type partial struct {
	conn net.Conn
	buf  []byte
	n    int
}

// fill reads until want bytes are there, at most for partTimeout.
func (p *partial) fill(want int) error {
	if p.n >= want {
		return nil
	}
	p.conn.SetReadDeadline(time.Now().Add(partTimeout))
	defer p.conn.SetReadDeadline(time.Time{})
	more, err := io.ReadFull(p.conn, p.buf[p.n:want])
	p.n += more
	return err
}

// frame takes a framed command of at most longest bytes. The frame, the message and
// the command must agree on its length.
func (p *partial) frame(longest uint32) (request, error) {
	req := request{framed: true}
	if err := p.fill(frameHeader); err != nil {
		return req, err
	}
	req.locality = p.buf[4]
	size := binary.BigEndian.Uint32(p.buf[5:])
	if size < headerSize || size > longest {
		return req, fmt.Errorf("%w: frame of %d bytes", errCommandSize, size)
	}
	if err := p.fill(frameHeader + int(size)); err != nil {
		return req, err
	}
	req.command = p.buf[frameHeader:p.n]
	if inner := binary.BigEndian.Uint32(req.command[2:]); len(req.command) != int(size) || inner != size {
		return req, fmt.Errorf("%w: frame of %d bytes holds a command of %d in a message of %d", errCommandSize, size, inner, p.n)
	}
	return req, nil
}

// execute runs a command; TPM2_SetLocality is the channel's own.
func (d *Data) execute(locality uint8, cmd []byte) []byte {
	if d.AllowSetLocality && len(cmd) == headerSize+1 &&
		binary.BigEndian.Uint16(cmd) == tagNoSessions && binary.BigEndian.Uint32(cmd[6:]) == ccSetLocal {
		if d.Machine.SetLocality(cmd[headerSize]) != nil {
			return errorResponse(rcLocality)
		}
		return errorResponse(0)
	}
	if d.Machine.checkLocality(locality) != nil {
		return errorResponse(rcLocality)
	}
	return d.Machine.Execute(locality, cmd)
}

const rcLocality = 0x907 // TPM_RC_LOCALITY
