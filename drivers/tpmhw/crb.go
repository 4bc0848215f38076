package tpmhw

import (
	"errors"
	"fmt"
	"time"
)

// Registers of a locality in front of the control area, at offsets from
// locality 0's page (PTP, table "CRB Interface Registers").
const (
	regLocCtrl   = 0x08
	regLocStatus = 0x0C
	ctrlArea     = 0x40 // offset of the control area
)

// Registers of the control area, at offsets from its start (the same table, and
// TCG ACPI Specification 1.4, table "Control Area").
const (
	areaReq         = 0x00
	areaStatus      = 0x04
	areaCancel      = 0x08
	areaStart       = 0x0C
	areaCommandSize = 0x18
	areaCommand     = 0x1C // address, 64 bits
	areaRespSize    = 0x24
	areaResponse    = 0x28 // address, 64 bits
	areaSize        = 0x30
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

// maxBuffer is how many bytes of a buffer are used at most. Firmware may report
// more.
const maxBuffer = 64 << 10

// Window returns the part of r that starts at an offset.
func Window(r Registers, off int) Registers { return window{r, off} }

type window struct {
	Registers
	off int
}

func (w window) Read8(off int) uint8       { return w.Registers.Read8(w.off + off) }
func (w window) Read32(off int) uint32     { return w.Registers.Read32(w.off + off) }
func (w window) Write8(off int, v uint8)   { w.Registers.Write8(w.off+off, v) }
func (w window) Write32(off int, v uint32) { w.Registers.Write32(w.off+off, v) }

// A crb is a TPM with the CRB interface. If it has localities, it is used at
// locality 0.
type crb struct {
	clock                      Clock
	locality                   Registers // nil for a control area without localities
	area                       Registers
	command, response          Registers
	commandSize, responseLimit int
}

// newCRB returns the TPM with a control area and, unless it has no localities,
// the locality registers in front of it. Buffers are looked up in registers, then
// in memory.
func newCRB(area, locality, registers Registers, memory Memory, clock Clock) (*crb, error) {
	t := &crb{clock: clock, locality: locality, area: area}
	var err error
	if t.command, t.commandSize, err = t.buffer(areaCommand, areaCommandSize, registers, memory); err != nil {
		return nil, err
	}
	if t.response, t.responseLimit, err = t.buffer(areaResponse, areaRespSize, registers, memory); err != nil {
		return nil, err
	}
	return t, t.request()
}

// buffer finds the buffer whose address and size are in two registers.
func (t *crb) buffer(address, size int, registers Registers, memory Memory) (Registers, int, error) {
	at := uint64(t.area.Read32(address)) | uint64(t.area.Read32(address+4))<<32
	n := t.area.Read32(size)
	if n < 10 || at == 0 || at+uint64(n) < at {
		return nil, 0, fmt.Errorf("%w: CRB buffer of %d bytes at %#x", ErrAbsent, n, at)
	}
	n = min(n, maxBuffer)
	switch {
	case registers != nil && at >= Base && uint64(n) <= Base+Size-min(at, Base+Size):
		return window{registers, int(at - Base)}, int(n), nil
	case memory == nil:
		return nil, 0, fmt.Errorf("%w: %d bytes at %#x", ErrBuffer, n, at)
	}
	b, err := memory(at, int(n))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %d bytes at %#x: %w", ErrBuffer, n, at, err)
	}
	return b, int(n), nil
}

// request requests locality 0.
func (t *crb) request() error {
	if t.locality == nil {
		return nil
	}
	t.locality.Write32(regLocCtrl, locRequestAccess)
	return wait(t.clock, "locality 0", timeoutA, func() bool {
		v := t.locality.Read32(regLocStatus)
		return v != 0xFFFFFFFF && v&locGranted != 0
	})
}

// Close relinquishes the locality.
func (t *crb) Close() error {
	if t.locality != nil {
		t.locality.Write32(regLocCtrl, locRelinquish)
	}
	return nil
}

// waitClear waits until bits of a register are clear, or returns ErrReset if the
// bus reads as all ones.
func (t *crb) waitClear(step string, limit time.Duration, reg int, bits uint32) error {
	gone := false
	err := wait(t.clock, step, limit, func() bool {
		v := t.area.Read32(reg)
		gone = v == 0xFFFFFFFF
		return gone || v&bits == 0
	})
	if gone {
		return ErrReset
	}
	return err
}

// Send runs one command and returns the response. After an error the next command
// starts from a clean state.
func (t *crb) Send(command []byte) ([]byte, error) {
	if len(command) < 10 || len(command) > min(MaxSize, t.commandSize) {
		return nil, fmt.Errorf("tpmhw: command of %d bytes, buffer of %d", len(command), t.commandSize)
	}
	if err := t.request(); err != nil {
		return nil, err
	}
	t.area.Write32(areaReq, reqReady)
	if err := t.waitClear("cmdReady", timeoutC+slack, areaReq, reqReady); err != nil {
		return nil, err
	}
	response, err := t.exchange(command)
	t.area.Write32(areaReq, reqIdle)
	if e := t.waitClear("goIdle", timeoutC+slack, areaReq, reqIdle); err == nil {
		err = e
	}
	return response, err
}

func (t *crb) exchange(command []byte) ([]byte, error) {
	t.area.Write32(areaCancel, 0)
	for i, b := range command {
		t.command.Write8(i, b)
	}
	t.area.Write32(areaStart, 1)
	if err := t.waitClear("response", commandTimeout, areaStart, 1); err != nil {
		if errors.Is(err, ErrTimeout) {
			t.area.Write32(areaCancel, 1)
			t.waitClear("cancel", timeoutB, areaStart, 1)
			t.area.Write32(areaCancel, 0)
		}
		return nil, err
	}
	if s := t.area.Read32(areaStatus); s&statusError != 0 {
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
		b[i] = t.response.Read8(off + i)
	}
}
