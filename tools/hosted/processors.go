package hosted

import (
	"encoding/binary"
	"os"
	"runtime"
)

// A processors keeps the Go runtime to one processor, except while a command
// makes an RSA key. Commands run one after the other in any case, and a second
// processor only looks for work in vain while commands come and go (measured:
// 23 us for GetRandom instead of 11). The two primes of an RSA key are sought
// side by side.
//
// Raising GOMAXPROCS from a timer does not work: with one busy processor the timer
// fires when the scheduler next preempts, 10 ms later.
type processors struct {
	all  int
	wide bool // between begin and end
}

// oneProcessor sets GOMAXPROCS to 1. It is for a process that serves one TPM, and
// does nothing if the environment sets GOMAXPROCS.
func oneProcessor() *processors {
	if os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	p := &processors{all: runtime.GOMAXPROCS(1)}
	if p.all == 1 {
		return nil
	}
	return p
}

// begin is called before a command.
func (p *processors) begin(cmd []byte) {
	if p != nil && makesRSA(cmd) {
		p.wide = true
		runtime.GOMAXPROCS(p.all)
	}
}

// end is called after a command.
func (p *processors) end() {
	if p != nil && p.wide {
		p.wide = false
		runtime.GOMAXPROCS(1)
	}
}

// makesRSA reports whether a command asks for a new RSA key, judging by its code
// and the type in its template (Part 3, TPM2_CreatePrimary, TPM2_Create,
// TPM2_CreateLoaded: one handle, sessions, TPM2B_SENSITIVE_CREATE, template). It
// takes any bytes; a wrong result costs time only.
func makesRSA(cmd []byte) bool {
	const (
		handleSize  = 4
		tagSessions = 0x8002
		algRSA      = 0x0001
	)
	if len(cmd) < headerSize {
		return false
	}
	switch binary.BigEndian.Uint32(cmd[6:]) {
	case ccCreatePrimary, ccCreate, ccCreateLoaded:
	default:
		return false
	}
	at := uint64(headerSize + handleSize)
	size := uint64(len(cmd))
	if binary.BigEndian.Uint16(cmd) == tagSessions {
		if at+4 > size {
			return false
		}
		at += 4 + uint64(binary.BigEndian.Uint32(cmd[at:]))
	}
	if at+2 > size {
		return false
	}
	at += 2 + uint64(binary.BigEndian.Uint16(cmd[at:]))
	return at+4 <= size && binary.BigEndian.Uint16(cmd[at+2:]) == algRSA
}
