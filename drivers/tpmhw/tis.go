package tpmhw

import (
	"fmt"
	"time"
)

// Registers of the FIFO interface, at offsets from a locality's page (PTP,
// table "FIFO Interface Registers").
const (
	regAccess = 0x00
	regStatus = 0x18 // status in the lowest byte, burst count in the two above
	regFIFO   = 0x24
	regDIDVID = 0xF00
)

// Fields of TPM_ACCESS.
const (
	accessRequestUse = 1 << 1
	accessActive     = 1 << 5 // write one to relinquish
	accessValid      = 1 << 7
)

// Fields of TPM_STS.
const (
	statusResponseRetry = 1 << 1
	statusExpect        = 1 << 3
	statusDataAvail     = 1 << 4
	statusGo            = 1 << 5
	statusCommandReady  = 1 << 6
	statusValid         = 1 << 7
)

// A tis is a TPM with the FIFO interface, at locality 0.
type tis struct {
	regs  Registers
	clock Clock
}

func openTIS(regs Registers, clock Clock) (*tis, error) {
	if id := regs.Read32(regDIDVID); id == 0 || id == 0xFFFFFFFF {
		return nil, ErrAbsent
	}
	t := &tis{regs, clock}
	return t, t.request()
}

// request requests locality 0, unless it is active already.
func (t *tis) request() error {
	if a := t.regs.Read8(regAccess); a != 0xFF && a&(accessValid|accessActive) == accessValid|accessActive {
		return nil
	}
	t.regs.Write8(regAccess, accessRequestUse)
	return wait(t.clock, "locality 0", timeoutA, func() bool {
		a := t.regs.Read8(regAccess)
		return a != 0xFF && a&(accessValid|accessActive) == accessValid|accessActive
	})
}

// Close relinquishes the locality.
func (t *tis) Close() error {
	t.regs.Write8(regAccess, accessActive)
	return nil
}

// status reads TPM_STS. If it reads as all ones, the TPM is gone from the bus.
func (t *tis) status() (flags uint8, burst int, gone bool) {
	v := t.regs.Read32(regStatus)
	return uint8(v), int(v >> 8 & 0xFFFF), v == 0xFFFFFFFF
}

// waitStatus waits until all bits of TPM_STS are set.
func (t *tis) waitStatus(step string, limit time.Duration, bits uint8) error {
	gone := false
	err := wait(t.clock, step, limit, func() bool {
		var s uint8
		s, _, gone = t.status()
		return gone || s&bits == bits
	})
	if gone {
		return ErrReset
	}
	return err
}

// ready puts the TPM in the state in which it accepts a command, and aborts
// whatever it was doing.
func (t *tis) ready() error {
	t.regs.Write8(regStatus, statusCommandReady)
	return t.waitStatus("commandReady", timeoutB, statusCommandReady)
}

// Send runs one command and returns the response. After an error the next command
// starts from a clean state.
func (t *tis) Send(command []byte) ([]byte, error) {
	if len(command) < 10 || len(command) > MaxSize {
		return nil, fmt.Errorf("tpmhw: command of %d bytes", len(command))
	}
	if err := t.request(); err != nil {
		return nil, err
	}
	if err := t.ready(); err != nil {
		return nil, err
	}
	response, err := t.exchange(command)
	// commandReady frees the buffer, or aborts what went wrong.
	t.regs.Write8(regStatus, statusCommandReady)
	return response, err
}

func (t *tis) exchange(command []byte) ([]byte, error) {
	for rest := command; len(rest) > 0; {
		n, err := t.burst("burstCount for a write")
		if err != nil {
			return nil, err
		}
		// The last byte is written alone, so that Expect shows before it whether
		// the TPM has received all others.
		n = min(n, max(len(rest)-1, 1))
		for _, b := range rest[:n] {
			t.regs.Write8(regFIFO, b)
		}
		rest = rest[n:]
		if err := t.waitStatus("stsValid after a write", timeoutC+slack, statusValid); err != nil {
			return nil, err
		}
		s, _, gone := t.status()
		if gone {
			return nil, ErrReset
		}
		if expects := s&statusExpect != 0; expects != (len(rest) > 0) {
			return nil, fmt.Errorf("%w: %d bytes are left to send, Expect is %v", ErrReset, len(rest), expects)
		}
	}
	t.regs.Write8(regStatus, statusGo)
	if err := t.waitStatus("response", commandTimeout, statusValid|statusDataAvail); err != nil {
		return nil, err
	}
	response, err := t.receive()
	if err != nil && isSizeFault(err) {
		// The TPM still has the whole response, so it can be read again.
		t.regs.Write8(regStatus, statusResponseRetry)
		response, err = t.receive()
	}
	return response, err
}

func (t *tis) receive() ([]byte, error) {
	header := make([]byte, 10)
	if err := t.read(header); err != nil {
		return nil, err
	}
	n, err := responseSize(header)
	if err != nil {
		return nil, err
	}
	response := make([]byte, n)
	copy(response, header)
	if err := t.read(response[10:]); err != nil {
		return nil, err
	}
	if err := t.waitStatus("stsValid after a read", timeoutC+slack, statusValid); err != nil {
		return nil, err
	}
	if s, _, _ := t.status(); s&statusDataAvail != 0 {
		return nil, fmt.Errorf("%w: longer than the %d bytes in its header", ErrResponse, n)
	}
	return response, nil
}

func (t *tis) read(b []byte) error {
	for len(b) > 0 {
		if err := t.waitStatus("dataAvail", timeoutC+slack, statusValid|statusDataAvail); err != nil {
			return err
		}
		n, err := t.burst("burstCount for a read")
		if err != nil {
			return err
		}
		n = min(n, len(b))
		for i := range n {
			b[i] = t.regs.Read8(regFIFO)
		}
		b = b[n:]
	}
	return nil
}

// burst waits until at least one byte can be written or read, and returns how
// many can.
func (t *tis) burst(step string) (int, error) {
	n, gone := 0, false
	err := wait(t.clock, step, timeoutD+slack, func() bool {
		_, n, gone = t.status()
		return gone || n > 0
	})
	if gone {
		return 0, ErrReset
	}
	return n, err
}
