package tpmhw

import (
	"errors"
	"fmt"
	"time"
)

// Base is the physical address of locality 0 and Size the size in bytes of the
// register window, with one page for each of localities 0 to 4 (PTP, 6.5.2).
const (
	Base = 0xFED40000
	Size = 5 * 4096
)

// Registers is a TPM's register window, or a buffer in memory. Offsets are in
// bytes from its start. Each access must have exactly the width of its method.
type Registers interface {
	Read8(off int) uint8
	Read32(off int) uint32
	Write8(off int, v uint8)
	Write32(off int, v uint32)
}

// Memory gives access to size bytes of physical memory at any address. It must
// return an error for memory that this domain may not use.
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

// slack is added to timeouts C and D, because Xen may not schedule the domain
// for that long.
const slack = time.Second

// MaxSize is the size in bytes of the largest command and response.
const MaxSize = 4096

// Errors that callers may want to distinguish.
var (
	ErrBuffer   = errors.New("tpmhw: CRB buffer is neither in the registers nor in this domain's memory")
	ErrAbsent   = errors.New("tpmhw: no TPM answers at these registers")
	ErrTimeout  = errors.New("tpmhw: timeout")
	ErrResponse = errors.New("tpmhw: TPM returned a response of an impossible size")
	ErrReset    = errors.New("tpmhw: TPM was reset or failed during a command")
)

// A TPM is a hardware TPM at one locality. Send is not safe for concurrent use.
type TPM interface {
	Send(command []byte) ([]byte, error)
	Close() error
}

// Register TPM_INTERFACE_ID (PTP, 6.5.4.11), and the values of its lowest bits.
const (
	regInterfaceID = 0x30

	interfaceTypeMask = 0xF
	interfaceFIFO     = 0x0
	interfaceCRB      = 0x1
	interfaceTIS13    = 0xF // a FIFO older than this register
)

// Open finds out which interface the TPM has and requests locality 0. The TPM
// that it returns repeats a command if the TPM asks for that (see retry.go). A CRB
// may have its buffers in memory; if memory is nil, they must be in the register
// window.
func Open(regs Registers, memory Memory) (TPM, error) { return open(regs, memory, systemClock{}) }

// OpenControlArea opens a TPM whose CRB control area is at a physical address
// outside the register window, which ACPI's TPM2 table gives. Such a TPM has no
// localities.
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

// wait polls until ready reports true. The error names step, the event that did
// not happen.
func wait(clock Clock, step string, limit time.Duration, ready func() bool) error {
	end := clock.Now().Add(limit)
	pause := 20 * time.Microsecond
	for {
		if ready() {
			return nil
		}
		if clock.Now().After(end) {
			if ready() { // the domain may not have been scheduled in between
				return nil
			}
			return fmt.Errorf("%w: no %s within %v", ErrTimeout, step, limit)
		}
		clock.Sleep(pause)
		pause = min(2*pause, 2*time.Millisecond)
	}
}

// responseSize returns the size in bytes that a response's header gives.
func responseSize(header []byte) (int, error) {
	n := uint32(header[2])<<24 | uint32(header[3])<<16 | uint32(header[4])<<8 | uint32(header[5])
	if n < 10 || n > MaxSize {
		return 0, fmt.Errorf("%w: %d bytes", ErrResponse, n)
	}
	return int(n), nil
}

// isSizeFault reports whether a response was misread, so that it may help to
// read it again.
func isSizeFault(err error) bool { return errors.Is(err, ErrResponse) }
