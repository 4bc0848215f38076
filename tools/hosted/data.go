package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
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

	// AllowSetLocality takes the command TPM2_SetLocality of Linux' vtpm proxy.
	AllowSetLocality bool

	// Disconnect closes the connection after each response.
	Disconnect bool
}

// Serve answers one client until it leaves. It closes the connection. Where
// the length in a command's header is impossible the answer is
// TPM_RC_COMMAND_SIZE and the connection ends, since the next command's
// beginning is not known.
func (d *Data) Serve(conn net.Conn) {
	conn = block(conn)
	defer conn.Close()
	buf := make([]byte, frameHeader+maxCommand)
	for {
		cmd, loc, framed, err := d.read(conn, buf)
		if err != nil && !errors.Is(err, errCommandSize) {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				d.Machine.log("data channel: %v", err)
			}
			return
		}
		var rsp []byte
		if err != nil {
			d.Machine.log("data channel: %v", err)
			rsp = errorResponse(rcCommandSize)
		} else {
			rsp = d.execute(loc, cmd)
		}
		if framed {
			rsp = append(words(uint32(len(rsp))), rsp...)
			rsp = append(rsp, 0, 0, 0, 0)
		}
		conn.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, e := conn.Write(rsp); e != nil || err != nil || d.Disconnect {
			return
		}
	}
}

var errCommandSize = errors.New("impossible length of a command")

// read takes one command from the connection. Usually it comes by one read.
func (d *Data) read(conn net.Conn, buf []byte) (cmd []byte, locality uint8, framed bool, err error) {
	locality = d.Machine.Locality()
	n, err := conn.Read(buf)
	if n == 0 {
		return nil, 0, false, err
	}
	fill := func(want int) error {
		if n >= want {
			return nil
		}
		conn.SetReadDeadline(time.Now().Add(partTimeout))
		defer conn.SetReadDeadline(time.Time{})
		more, err := io.ReadFull(conn, buf[n:want])
		n += more
		return err
	}
	if err := fill(4); err != nil {
		return nil, 0, false, err
	}
	start := 0
	if binary.BigEndian.Uint32(buf) == frameCommand {
		framed, start = true, frameHeader
		if err := fill(frameHeader); err != nil {
			return nil, 0, true, err
		}
		locality = buf[4]
		size := binary.BigEndian.Uint32(buf[5:])
		if size < headerSize || size > maxCommand || locality > 4 {
			return nil, 0, true, fmt.Errorf("%w: frame of %d bytes at locality %d", errCommandSize, size, locality)
		}
		if err := fill(start + int(size)); err != nil {
			return nil, 0, true, err
		}
		return buf[start : start+int(size)], locality, true, nil
	}
	if err := fill(6); err != nil {
		return nil, 0, false, err
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < headerSize || size > maxCommand {
		return nil, 0, false, fmt.Errorf("%w: %d bytes", errCommandSize, size)
	}
	if err := fill(int(size)); err != nil {
		return nil, 0, false, err
	}
	// A client waits for each response, so what came with this command is
	// part of it: the device judges a length that is too small.
	return buf[:n], locality, false, nil
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
	return d.Machine.Execute(locality, cmd)
}

const rcLocality = 0x907 // TPM_RC_LOCALITY
