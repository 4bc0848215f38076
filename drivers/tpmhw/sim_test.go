package tpmhw

import "encoding/binary"

// busy is how many polls a simulated TPM takes for a step.
const busy = 3

// A simTIS is a FIFO interface at locality 0, after the state machine of PTP
// 1.06, 6.5.2.4 to 6.5.2.9. A fault, if set, replaces what a register reads.
type simTIS struct {
	execute func(command []byte) []byte
	fault   func(off int, v uint32) uint32
	burst   int

	active   bool
	state    string // idle, ready, receive, execute, complete
	in, out  []byte
	at, left int
	retries  int
	hang     bool // a command never ends
	garbled  int  // how many times the response's header reads wrong
}

func newSimTIS(execute func([]byte) []byte) *simTIS {
	return &simTIS{execute: execute, burst: 64, state: "idle"}
}

func (s *simTIS) Read8(off int) uint8 {
	v := s.read(off)
	if s.fault != nil {
		v = s.fault(off, v)
	}
	return uint8(v)
}

func (s *simTIS) Read32(off int) uint32 {
	v := s.read(off)
	if s.fault != nil {
		v = s.fault(off, v)
	}
	return v
}

func (s *simTIS) read(off int) uint32 {
	switch off {
	case regAccess:
		if s.active {
			return accessValid | accessActive
		}
		return accessValid
	case regDIDVID:
		return 0x00011014
	case regInterfaceID:
		return interfaceTIS13
	case regStatus:
		return s.status()
	case regFIFO:
		if s.state != "complete" || s.at >= len(s.out) {
			return 0xFF
		}
		b := s.out[s.at]
		if s.garbled > 0 && s.at == 2 {
			b ^= 0x80
			s.garbled--
		}
		s.at++
		return uint32(b)
	}
	return 0
}

func (s *simTIS) status() uint32 {
	burst := s.burst
	if s.state == "complete" {
		burst = min(burst, len(s.out)-s.at)
	}
	v := uint32(statusValid | burst<<8)
	switch s.state {
	case "ready":
		v |= statusCommandReady
	case "receive":
		if !s.whole() {
			v |= statusExpect
		}
	case "execute":
		if s.left--; s.left <= 0 && !s.hang {
			s.out, s.at, s.state = s.execute(s.in), 0, "complete"
		}
	case "complete":
		if s.at < len(s.out) {
			v |= statusDataAvail
		}
	}
	return v
}

func (s *simTIS) whole() bool {
	return len(s.in) >= 6 && len(s.in) >= int(binary.BigEndian.Uint32(s.in[2:]))
}

func (s *simTIS) Write8(off int, v uint8) {
	switch {
	case off == regAccess && v == accessRequestUse:
		s.active = true
	case off == regAccess && v == accessActive:
		s.active, s.state = false, "idle"
	case !s.active:
	case off == regStatus && v == statusCommandReady:
		s.in, s.state = nil, "ready"
	case off == regStatus && v == statusGo && s.state == "receive" && s.whole():
		s.state, s.left = "execute", busy
	case off == regStatus && v == statusResponseRetry && s.state == "complete":
		s.at = 0
		s.retries++
	case off == regFIFO && (s.state == "ready" || s.state == "receive"):
		s.state = "receive"
		if !s.whole() {
			s.in = append(s.in, v)
		}
	}
}

func (s *simTIS) Write32(off int, v uint32) { s.Write8(off, uint8(v)) }

// A simCRB is a CRB interface at locality 0 with buffers behind its registers,
// after PTP 1.06, 6.5.3.
type simCRB struct {
	execute func(command []byte) []byte
	fault   func(off int, v uint32) uint32

	assigned, ready bool
	left            int
	buffer          [4096 - 0x80]byte
	hang, failed    bool
	cancelled       int
	reg             map[int]uint32 // self-clearing requests: polls until clear
}

func newSimCRB(execute func([]byte) []byte) *simCRB {
	return &simCRB{execute: execute, reg: map[int]uint32{}}
}

func (s *simCRB) Read8(off int) uint8 {
	v := uint32(0)
	if off >= 0x80 && off < 4096 {
		v = uint32(s.buffer[off-0x80])
	}
	if s.fault != nil {
		v = s.fault(off, v)
	}
	return uint8(v)
}

func (s *simCRB) Read32(off int) uint32 {
	v := s.read(off)
	if s.fault != nil {
		v = s.fault(off, v)
	}
	return v
}

func (s *simCRB) read(off int) uint32 {
	switch off {
	case regInterfaceID:
		return interfaceCRB
	case regLocStatus:
		if s.assigned {
			return locGranted
		}
	case ctrlArea + areaStatus:
		if s.failed {
			return statusError
		}
	case ctrlArea + areaReq:
		if s.left > 0 {
			s.left--
			return reqReady
		}
	case ctrlArea + areaStart:
		if s.reg[off] == 0 {
			return 0
		}
		if s.hang {
			return 1
		}
		if s.reg[off]--; s.reg[off] > 0 {
			return 1
		}
		n := min(int(binary.BigEndian.Uint32(s.buffer[2:])), len(s.buffer))
		copy(s.buffer[:], s.execute(append([]byte(nil), s.buffer[:n]...)))
	case ctrlArea + areaCommandSize, ctrlArea + areaRespSize:
		return uint32(len(s.buffer))
	case ctrlArea + areaCommand, ctrlArea + areaResponse:
		return Base + 0x80
	}
	return 0
}

func (s *simCRB) Write8(off int, v uint8) {
	if off >= 0x80 && off < 4096 && s.ready {
		s.buffer[off-0x80] = v
	}
}

func (s *simCRB) Write32(off int, v uint32) {
	switch {
	case off == regLocCtrl:
		s.assigned = v == locRequestAccess
	case !s.assigned:
	case off == ctrlArea+areaReq:
		s.ready, s.left = v == reqReady, busy
	case off == ctrlArea+areaStart && s.ready:
		s.reg[off] = busy
	case off == ctrlArea+areaCancel && v == 1 && s.reg[ctrlArea+areaStart] > 0:
		s.cancelled++
		s.hang = false
		s.reg[ctrlArea+areaStart] = 1
	}
}
