// Package tpmhw drives a hardware TPM through its registers: the FIFO of a TIS
// and the CRB, the two interfaces of the TCG PC Client Platform TPM Profile
// Specification (PTP) 1.06. Each is a transport.TPM of google/go-tpm.
//
// It has no build tag and runs anywhere: the registers are an interface.
package tpmhw

import (
	"errors"
	"fmt"
	"time"
)

// Base is the physical address of locality 0, and Size how many bytes of
// registers there are: a page for each of the localities 0 to 4 (PTP, 6.5.2).
const (
	Base = 0xFED40000
	Size = 5 * 4096
)

// Registers are a TPM's, at byte offsets from Base. Each access is of exactly
// the width asked for.
type Registers interface {
	Read8(off int) uint8
	Read32(off int) uint32
	Write8(off int, v uint8)
	Write32(off int, v uint32)
}

// Memory gives access to size bytes of physical memory at an address, which need
// not be a multiple of anything. It must return an error for what is not this
// domain's to use.
type Memory func(addr uint64, size int) (Registers, error)

// A Clock provides the time and sleeps.
type Clock interface {
	Now() time.Time
	Sleep(time.Duration)
}

type systemClock struct{}

func (systemClock) Now() time.Time        { return time.Now() }
func (systemClock) Sleep(d time.Duration) { time.Sleep(d) }

// Interface timeouts (PTP, 6.5.1.3 "Timeouts"), and how long a command may
// take: key generation in hardware is slow.
const (
	timeoutA       = 750 * time.Millisecond
	timeoutB       = 2 * time.Second
	timeoutC       = 200 * time.Millisecond
	timeoutD       = 30 * time.Millisecond
	commandTimeout = 5 * time.Minute
)

// slack is added to timeouts C and D: a domain may not have run for that long.
const slack = time.Second

// MaxSize is the size in bytes of the largest command and response.
const MaxSize = 4096

// Errors that callers may want to tell apart.
var (
	ErrBuffer   = errors.New("tpmhw: CRB buffer is not within its registers or this domain's memory")
	ErrAbsent   = errors.New("tpmhw: no TPM answers at these registers")
	ErrTimeout  = errors.New("tpmhw: timeout")
	ErrResponse = errors.New("tpmhw: TPM gave a response of an impossible size")
	ErrReset    = errors.New("tpmhw: TPM was reset or failed in the middle of a command")
)

// A TPM is a hardware TPM at one locality. Send is not safe for concurrent use.
type TPM interface {
	Send(command []byte) ([]byte, error)
	Close() error
}

// Register TPM_INTERFACE_ID (PTP, 6.5.4.11), and what its lowest bits say.
const (
	regInterfaceID = 0x30

	interfaceTypeMask = 0xF
	interfaceFIFO     = 0x0
	interfaceCRB      = 0x1
	interfaceTIS13    = 0xF // a FIFO of before the register
)

// Open finds out which interface is there and takes locality 0. The TPM it
// returns sends a command again where the TPM asks for that, see retry.go. A CRB
// may have its buffers elsewhere, in memory; with a nil memory they must lie
// within the registers.
func Open(regs Registers, memory Memory) (TPM, error) { return open(regs, memory, systemClock{}) }

// OpenControlArea opens a TPM whose CRB control area is elsewhere in memory, as
// ACPI's TPM2 table says. It has no localities there.
func OpenControlArea(control uint64, memory Memory) (TPM, error) {
	return openControlArea(control, memory, systemClock{})
}

func open(regs Registers, memory Memory, clock Clock) (TPM, error) {
	t, err := openInterface(regs, memory, clock)
	if err != nil {
		return nil, err
	}
	return &retrying{t, clock}, nil
}

func openControlArea(control uint64, memory Memory, clock Clock) (TPM, error) {
	area, err := memory(control, areaSize)
	if err != nil {
		return nil, fmt.Errorf("tpmhw: control area at %#x: %w", control, err)
	}
	if area.Read32(areaStart) == 0xFFFFFFFF && area.Read32(areaCommandSize) == 0xFFFFFFFF {
		return nil, fmt.Errorf("%w: the control area at %#x reads as ones", ErrAbsent, control)
	}
	t, err := newCRB(area, nil, nil, memory, clock)
	if err != nil {
		return nil, err
	}
	return &retrying{t, clock}, nil
}

func openInterface(regs Registers, memory Memory, clock Clock) (TPM, error) {
	id := regs.Read32(regInterfaceID)
	if id == 0xFFFFFFFF && regs.Read32(regDIDVID) == id {
		return nil, fmt.Errorf("%w: all registers read as ones", ErrAbsent)
	}
	switch id & interfaceTypeMask {
	case interfaceCRB:
		return newCRB(window{regs, ctrlArea}, regs, regs, memory, clock)
	case interfaceFIFO, interfaceTIS13:
		return openTIS(regs, clock)
	}
	return nil, fmt.Errorf("%w: interface id %#x", ErrAbsent, id)
}

// wait polls until ready reports true. step says, in the error, what was
// waited for.
func wait(clock Clock, step string, limit time.Duration, ready func() bool) error {
	end := clock.Now().Add(limit)
	pause := 20 * time.Microsecond
	for {
		if ready() {
			return nil
		}
		if clock.Now().After(end) {
			if ready() { // the domain may not have run in between
				return nil
			}
			return fmt.Errorf("%w: %s did not come in %v", ErrTimeout, step, limit)
		}
		clock.Sleep(pause)
		pause = min(2*pause, 2*time.Millisecond)
	}
}

// responseSize takes the size out of a response's header.
func responseSize(header []byte) (int, error) {
	n := uint32(header[2])<<24 | uint32(header[3])<<16 | uint32(header[4])<<8 | uint32(header[5])
	if n < 10 || n > MaxSize {
		return 0, fmt.Errorf("%w: %d bytes", ErrResponse, n)
	}
	return int(n), nil
}

// isSizeFault reports whether a response was misread, so that reading it again
// may help.
func isSizeFault(err error) bool { return errors.Is(err, ErrResponse) }
