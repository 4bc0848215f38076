package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Requests of the Microsoft simulator's TCP protocol (TPM 2.0 reference code,
// TpmTcpProtocol.h: the numbers are the protocol). Each is a big-endian word;
// each ends with the word 0, or 1 if it failed. Command and platform port
// have the same numbers; which may come where is noted.
const (
	simPowerOn       = 1  // platform
	simPowerOff      = 2  // platform
	simPhysPresOn    = 3  // platform
	simPhysPresOff   = 4  // platform
	simHashStart     = 5  // command
	simHashData      = 6  // command: length, bytes
	simHashEnd       = 7  // command
	simSendCommand   = 8  // command: locality (1 byte), length, bytes; answer: length, bytes
	simCancelOn      = 9  // platform
	simCancelOff     = 10 // platform
	simNVOn          = 11 // platform
	simNVOff         = 12 // platform
	simKeyCacheOn    = 13 // platform
	simKeyCacheOff   = 14 // platform
	simHandshake     = 15 // command: version; answer: version, flags
	simReset         = 17 // platform
	simRestart       = 18 // platform
	simSessionEnd    = 20 // both; no answer
	simStop          = 21 // both; no answer
	simResponseSizes = 25 // platform: command and response sizes, for tests of the reference
	simACTGet        = 26 // platform: ACT number; answer: signalled
)

const (
	simVersion = 1
	simFlags   = 1 | 4 // platform port available; raw mode: no resource manager below
)

// A simulator serves the two TCP ports of the Microsoft simulator.
type simulator struct {
	Machine *Machine

	// Stop is called when a client asks the simulator to stop.
	Stop func()
}

// ServeCommand answers one client of the command port (2321) until it leaves.
func (s *simulator) ServeCommand(conn net.Conn) { s.serve(conn, s.command) }

// ServePlatform answers one client of the platform port (2322).
func (s *simulator) ServePlatform(conn net.Conn) { s.serve(conn, s.platform) }

// errLeave ends a session without a complaint.
var errLeave = errors.New("session ended")

func (s *simulator) serve(conn net.Conn, one func(*simConn, uint32) ([]byte, error)) {
	conn = block(conn)
	defer conn.Close()
	c := &simConn{conn: conn}
	for {
		code, err := c.word(false)
		var answer []byte
		if err == nil {
			answer, err = one(c, code)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, errLeave) {
				s.Machine.log("simulator port: %v", err)
			}
			return
		}
		conn.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// command runs a request of the command port.
func (s *simulator) command(c *simConn, code uint32) ([]byte, error) {
	switch code {
	case simHandshake:
		if _, err := c.word(true); err != nil {
			return nil, err
		}
		return words(simVersion, simFlags, 0), nil
	case simSendCommand:
		locality, cmd, err := c.tpmCommand()
		if err != nil {
			return nil, err
		}
		rsp := errorResponse(rcLocality)
		if s.Machine.checkLocality(locality) == nil {
			rsp = s.Machine.Execute(locality, cmd)
		}
		return append(append(words(uint32(len(rsp))), rsp...), 0, 0, 0, 0), nil
	case simHashStart:
		return ack(s.Machine.HashStart())
	case simHashData:
		data, err := c.sized(maxCommand)
		if err != nil {
			return nil, err
		}
		return ack(s.Machine.HashData(data))
	case simHashEnd:
		return ack(s.Machine.HashEnd())
	}
	return s.platform(c, code)
}

// platform runs a request of the platform port.
func (s *simulator) platform(c *simConn, code uint32) ([]byte, error) {
	m := s.Machine
	switch code {
	case simPowerOn:
		if m.Running() {
			return ack(nil) // power that is on stays on; it is no reset
		}
		return ack(m.PowerOn(true))
	case simPowerOff:
		m.PowerOff()
		return ack(nil)
	case simReset, simRestart:
		return ack(m.Reset())
	case simCancelOn:
		return ack(m.Cancel())
	case simPhysPresOn, simPhysPresOff, simCancelOff, simNVOn, simNVOff, simKeyCacheOn, simKeyCacheOff:
		return ack(nil) // NV is always there; physical presence is not modelled
	case simResponseSizes:
		return words(maxCommand, maxCommand, 0), nil
	case simACTGet:
		if _, err := c.word(true); err != nil {
			return nil, err
		}
		return words(0, 0), nil
	case simSessionEnd:
		return nil, errLeave
	case simStop:
		if s.Stop != nil {
			s.Stop()
		}
		return nil, errLeave
	}
	return nil, fmt.Errorf("unknown request %d", code)
}

func ack(err error) ([]byte, error) {
	if err != nil {
		return words(1), nil
	}
	return words(0), nil
}

// A simConn reads the parts of requests.
type simConn struct {
	conn net.Conn
	head [5]byte
}

// read fills p. The rest of a request that has begun must arrive within partTimeout.
func (c *simConn) read(p []byte, begun bool) error {
	deadline := time.Time{}
	if begun {
		deadline = time.Now().Add(partTimeout)
	}
	c.conn.SetReadDeadline(deadline)
	_, err := io.ReadFull(c.conn, p)
	return err
}

func (c *simConn) word(begun bool) (uint32, error) {
	err := c.read(c.head[:4], begun)
	return binary.BigEndian.Uint32(c.head[:]), err
}

// sized reads a length of at most limit, and as many bytes.
func (c *simConn) sized(limit uint32) ([]byte, error) {
	n, err := c.word(true)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("request of %d bytes; the limit is %d", n, limit)
	}
	b := make([]byte, n)
	return b, c.read(b, true)
}

func (c *simConn) tpmCommand() (locality uint8, cmd []byte, err error) {
	if err := c.read(c.head[:1], true); err != nil {
		return 0, nil, err
	}
	locality = c.head[0]
	cmd, err = c.sized(maxCommand)
	return locality, cmd, err
}
