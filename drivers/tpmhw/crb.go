package tpmhw

import (
	"errors"
	"fmt"
	"time"
)

// Registers of the CRB interface, at offsets from locality 0's page (PTP,
// table "CRB Interface Registers").
const (
	regLocCtrl     = 0x08
	regLocStatus   = 0x0C
	regCtrlReq     = 0x40
	regCtrlStatus  = 0x44
	regCtrlCancel  = 0x48
	regCtrlStart   = 0x4C
	regCommandSize = 0x58
	regCommandLow  = 0x5C
	regResponse    = 0x68 // address, 64 bits
	regRespSize    = 0x64
)

// Fields.
const (
	locRequestAccess = 1 << 0 // TPM_LOC_CTRL
	locRelinquish    = 1 << 1
	locGranted       = 1 << 0 // TPM_LOC_STS
	reqReady         = 1 << 0 // TPM_CRB_CTRL_REQ
	reqIdle          = 1 << 1
	statusError      = 1 << 0 // TPM_CRB_CTRL_STS
)

// A crb is a TPM with the CRB interface, at locality 0. Its buffers lie within
// the registers' pages: a TPM whose buffers are elsewhere in memory is refused
// at Open.
type crb struct {
	regs                       Registers
	clock                      Clock
	command, response          int // offsets of the buffers
	commandSize, responseLimit int
}

func openCRB(regs Registers, clock Clock) (*crb, error) {
	t := &crb{regs: regs, clock: clock}
	var err error
	if t.command, t.commandSize, err = buffer(regs, regCommandLow, regCommandSize); err != nil {
		return nil, err
	}
	if t.response, t.responseLimit, err = buffer(regs, regResponse, regRespSize); err != nil {
		return nil, err
	}
	return t, t.request()
}

// buffer reads where a buffer is, in bytes from Base, and its size.
func buffer(regs Registers, address, size int) (int, int, error) {
	at := uint64(regs.Read32(address)) | uint64(regs.Read32(address+4))<<32
	n := regs.Read32(size)
	if at < Base || at > Base+Size || uint64(n) > Base+Size-at || n < 10 {
		return 0, 0, fmt.Errorf("%w: CRB buffer of %d bytes at %#x is not within its registers", ErrAbsent, n, at)
	}
	return int(at - Base), int(n), nil
}

// request takes locality 0.
func (t *crb) request() error {
	t.regs.Write32(regLocCtrl, locRequestAccess)
	return wait(t.clock, "locality 0", timeoutA, func() bool {
		v := t.regs.Read32(regLocStatus)
		return v != 0xFFFFFFFF && v&locGranted != 0
	})
}

// Close gives the locality up.
func (t *crb) Close() error {
	t.regs.Write32(regLocCtrl, locRelinquish)
	return nil
}

func (t *crb) waitClear(step string, limit time.Duration, reg int, bits uint32) error {
	gone := false
	err := wait(t.clock, step, limit, func() bool {
		v := t.regs.Read32(reg)
		gone = v == 0xFFFFFFFF
		return gone || v&bits == 0
	})
	if gone {
		return ErrReset
	}
	return err
}

// Send runs one command. After an error the next command starts from a clean
// state.
func (t *crb) Send(command []byte) ([]byte, error) {
	if len(command) < 10 || len(command) > min(MaxSize, t.commandSize) {
		return nil, fmt.Errorf("tpmhw: command of %d bytes, buffer of %d", len(command), t.commandSize)
	}
	if err := t.request(); err != nil {
		return nil, err
	}
	t.regs.Write32(regCtrlReq, reqReady)
	if err := t.waitClear("cmdReady", timeoutC+slack, regCtrlReq, reqReady); err != nil {
		return nil, err
	}
	response, err := t.exchange(command)
	t.regs.Write32(regCtrlReq, reqIdle)
	if e := t.waitClear("goIdle", timeoutC+slack, regCtrlReq, reqIdle); err == nil {
		err = e
	}
	return response, err
}

func (t *crb) exchange(command []byte) ([]byte, error) {
	t.regs.Write32(regCtrlCancel, 0)
	for i, b := range command {
		t.regs.Write8(t.command+i, b)
	}
	t.regs.Write32(regCtrlStart, 1)
	if err := t.waitClear("the response", commandTimeout, regCtrlStart, 1); err != nil {
		if errors.Is(err, ErrTimeout) {
			t.regs.Write32(regCtrlCancel, 1)
			t.waitClear("cancel", timeoutB, regCtrlStart, 1)
			t.regs.Write32(regCtrlCancel, 0)
		}
		return nil, err
	}
	if s := t.regs.Read32(regCtrlStatus); s&statusError != 0 {
		return nil, fmt.Errorf("%w: status %#x", ErrReset, s)
	}
	header := make([]byte, 10)
	t.read(header, 0)
	n, err := responseSize(header)
	if err != nil {
		return nil, err
	}
	if n > t.responseLimit {
		return nil, fmt.Errorf("%w: %d bytes in a buffer of %d", ErrResponse, n, t.responseLimit)
	}
	response := make([]byte, n)
	copy(response, header)
	t.read(response[10:], 10)
	return response, nil
}

func (t *crb) read(b []byte, off int) {
	for i := range b {
		b[i] = t.regs.Read8(t.response + off + i)
	}
}
