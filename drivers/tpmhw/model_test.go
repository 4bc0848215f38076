package tpmhw

import (
	"encoding/binary"
	"time"
)

// fakeClock passes time only when somebody sleeps.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time        { return c.now }
func (c *fakeClock) Sleep(d time.Duration) { c.now = c.now.Add(d) }

// echo is the TPM behind the models: it answers a command with its own bytes,
// under a response header.
func echo(command []byte) []byte {
	r := append([]byte{0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}, command[10:]...)
	binary.BigEndian.PutUint32(r[2:], uint32(len(r)))
	return r
}

// A tisModel behaves as the PTP says of a FIFO. Fields of faults make it
// misbehave.
type tisModel struct {
	granted, ready bool
	in, out        []byte
	burst          int
	delay          int // polls until a response is there

	gone       bool // the bus reads all ones
	stuckBurst bool
	noExpect   bool
	never      bool // a command never ends
	dieAt      int  // bytes after which the TPM is reset
	lie        int  // added to the size in the first response header
	retries    int  // responseRetry seen
	full       []byte
}

func newTIS() *tisModel { return &tisModel{burst: 7, dieAt: -1} }

func (m *tisModel) expect() bool {
	if m.noExpect || len(m.in) < 10 {
		return m.ready && !m.noExpect && m.out == nil
	}
	return uint32(len(m.in)) < binary.BigEndian.Uint32(m.in[2:])
}

func (m *tisModel) Read8(off int) uint8 {
	if m.gone {
		return 0xFF
	}
	switch off {
	case regAccess:
		if m.granted {
			return accessValid | accessActive
		}
		return accessValid
	case regFIFO:
		if len(m.out) == 0 {
			return 0xFF
		}
		b := m.out[0]
		m.out = m.out[1:]
		return b
	}
	return 0
}

func (m *tisModel) Read32(off int) uint32 {
	if m.gone {
		return 0xFFFFFFFF
	}
	switch off {
	case regInterfaceID:
		return interfaceFIFO
	case regDIDVID:
		return 0x00011014
	case regStatus:
		s := uint32(statusValid)
		burst := m.burst
		switch {
		case m.full != nil:
			if m.delay > 0 {
				m.delay--
				return uint32(statusValid)
			}
			if len(m.out) > 0 {
				s |= statusDataAvail
				burst = min(burst, len(m.out))
			}
		case m.ready:
			s |= statusCommandReady
			if m.expect() {
				s |= statusExpect
			}
		}
		if m.stuckBurst {
			burst = 0
		}
		return s | uint32(burst)<<8
	}
	return 0
}

func (m *tisModel) Write8(off int, v uint8) {
	switch off {
	case regAccess:
		if v == accessRequestUse {
			m.granted = true
		} else if v == accessActive {
			m.granted = false
		}
	case regFIFO:
		if m.in = append(m.in, v); len(m.in) == m.dieAt {
			m.gone = true
		}
	case regStatus:
		switch v {
		case statusCommandReady:
			m.ready, m.in, m.out, m.full = true, nil, nil, nil
		case statusGo:
			if m.never {
				return
			}
			m.full = echo(m.in)
			m.out = append([]byte(nil), m.full...)
			binary.BigEndian.PutUint32(m.out[2:], uint32(len(m.out)+m.lie))
			m.delay = 3
		case statusResponseRetry:
			m.retries++
			m.out = append([]byte(nil), m.full...)
		}
	}
}

func (m *tisModel) Write32(off int, v uint32) { m.Write8(off, uint8(v)) }

// A crbModel behaves as the PTP says of a CRB, with its buffers at 0x80.
type crbModel struct {
	granted bool
	req     uint32
	start   uint32
	status  uint32
	buffer  [4096 - 0x80]byte

	never   bool
	gone    bool
	lie     uint32
	address uint64
}

func newCRB() *crbModel { return &crbModel{address: Base + 0x80} }

func (m *crbModel) Read8(off int) uint8 {
	if i := off - 0x80; i >= 0 && i < len(m.buffer) && !m.gone {
		return m.buffer[i]
	}
	return 0xFF
}

func (m *crbModel) Write8(off int, v uint8) {
	if i := off - 0x80; i >= 0 && i < len(m.buffer) {
		m.buffer[i] = v
	}
}

func (m *crbModel) Read32(off int) uint32 {
	if m.gone {
		return 0xFFFFFFFF
	}
	switch off {
	case regInterfaceID:
		return interfaceCRB
	case regLocStatus:
		if m.granted {
			return locGranted
		}
		return 0
	case regCtrlReq:
		return m.req
	case regCtrlStart:
		return m.start
	case regCtrlStatus:
		return m.status
	case regCommandSize, regRespSize:
		return uint32(len(m.buffer))
	case regCommandLow, regResponse:
		return uint32(m.address)
	case regCommandLow + 4, regResponse + 4:
		return uint32(m.address >> 32)
	}
	return 0
}

func (m *crbModel) Write32(off int, v uint32) {
	switch off {
	case regLocCtrl:
		m.granted = v == locRequestAccess
	case regCtrlStart:
		if m.never {
			m.start = 1
			return
		}
		n := binary.BigEndian.Uint32(m.buffer[2:])
		r := echo(m.buffer[:n])
		copy(m.buffer[:], r)
		binary.BigEndian.PutUint32(m.buffer[2:], uint32(len(r))+m.lie)
	case regCtrlCancel:
		if v != 0 {
			m.start = 0
		}
	}
}
