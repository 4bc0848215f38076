//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// Hypercalls and operations (public/xen.h, public/memory.h, public/domctl.h).
const (
	callMemoryOp     = 12
	memPopulate      = 6 // XENMEM_populate_physmap
	callDomctl       = 36
	domctlPause      = 3
	domctlUnpause    = 4
	domctlGetInfo    = 5  // XEN_DOMCTL_getdomaininfo
	domctlGetContext = 13 // XEN_DOMCTL_getvcpucontext
	domctlGetTSCInfo = 59 // XEN_DOMCTL_gettscinfo
)

// Populate gives the domain a page of memory at each of the frame numbers. The
// toolstack's allowance for the domain must have room for them; xl's has 1 MiB.
func (m *Memory) Populate(frames ...uint64) error {
	// struct xen_memory_reservation: extent_start u64 (pointer to the frame numbers),
	// nr_extents u64, extent_order u32, mem_flags u32, domid u16.
	const header = 32
	b, err := lockedMemory(header + 8*len(frames))
	if err != nil {
		return err
	}
	defer b.free()
	binary.NativeEndian.PutUint64(b, b.at(header))
	binary.NativeEndian.PutUint64(b[8:], uint64(len(frames)))
	binary.NativeEndian.PutUint16(b[24:], uint16(m.domain))
	for i, f := range frames {
		binary.NativeEndian.PutUint64(b[header+8*i:], f)
	}
	n, err := hypercall(m.f, callMemoryOp, memPopulate, b.at(0))
	if err == nil && int(n) != len(frames) {
		err = fmt.Errorf("%d of %d pages: %w", n, len(frames), unix.ENOMEM)
	}
	if err != nil {
		return fmt.Errorf("devxen: memory for domain %d: %w", m.domain, err)
	}
	return nil
}

// A Grant is an entry of a grant table, version 1.
type Grant struct {
	Ref   xen.GrantRef
	Peer  xen.DomID
	Frame uint32
}

// Seed writes entries into the domain's grant table, as the toolstack does for console
// and xenstore, so that peers may map the domain's pages. Only the reserved entries may
// be written while the domain runs.
func (m *Memory) Seed(grants ...Grant) error {
	table, err := mapResource(m.f, m.domain, resourceGrantTable, 0, 0)
	if err != nil {
		return err
	}
	defer table.Unmap()
	for _, g := range grants {
		if g.Ref >= abi.GrantReserved {
			return fmt.Errorf("devxen: grant %d is not reserved", g.Ref)
		}
		// An entry is flags u16, domain u16, frame u32. No peer may see a half.
		at := 8 * int(g.Ref)
		table.Page().Store32(at, 0)
		table.Page().Store32(at+4, g.Frame)
		table.Page().Store32(at, uint32(g.Peer)<<abi.GrantDomidShift|abi.GrantPermitAccess)
	}
	return nil
}

// domctlVersions are values of XEN_DOMCTL_INTERFACE_VERSION. Xen obeys one only, and
// says EACCES to others. What is used here has been the same in all of them.
var domctlVersions = []uint32{0x15, 0x17, 0x16, 0x18, 0x14, 0x13}

// Registers are those of a virtual processor that say whether it is where a PVH domain
// begins (docs/misc/pvh.pandoc in Xen): EBX then has the address of struct
// hvm_start_info, EIP the kernel's entry, and of CR0 only PE is set.
type Registers struct{ RBX, RIP, CR0 uint64 }

// Registers returns registers of a virtual processor. ok is false if that one was not
// started yet, or does not exist.
func (m *Memory) Registers(vcpu int) (r Registers, ok bool, err error) {
	// The operation's own fields are: vcpu u32, padding, pointer to the context. struct
	// vcpu_guest_context is 5,168 bytes:
	// the floating-point context, 512 bytes, flags, 8 bytes, the general registers (RBX is
	// word 5, RIP word 16), and more; CR0 is at 4984.
	const (
		contextAt   = domctlSize
		contextSize = 8192
		registers   = contextAt + 512 + 8
		control     = contextAt + 4984
	)
	b, err := lockedMemory(contextAt + contextSize)
	if err != nil {
		return r, false, err
	}
	defer b.free()
	binary.NativeEndian.PutUint32(b[16:], uint32(vcpu))
	binary.NativeEndian.PutUint64(b[24:], b.at(contextAt))
	err = m.domctl(b, domctlGetContext)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EINVAL) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	word := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	return Registers{RBX: word(registers + 8*5), RIP: word(registers + 8*16), CR0: word(control)}, true, nil
}

// Restored reports whether the domain was restored from a file or has migrated here. All
// that a domain's memory and processors hold is its own work then, also if it has not run
// since.
func (m *Memory) Restored() (bool, error) {
	// struct xen_domctl_tsc_info, at 16: mode u32, frequency u32, incarnation u32. That is
	// 1 for a domain that was built here, and one more after each time it was restored.
	b, err := lockedMemory(domctlSize)
	if err != nil {
		return false, err
	}
	defer b.free()
	if err := m.domctl(b, domctlGetTSCInfo); err != nil {
		return false, err
	}
	return binary.NativeEndian.Uint32(b[24:]) != 1, nil
}

// A Status is what a domain does.
type Status struct {
	Exists    bool // false also of one that is being destroyed
	Suspended bool // it has stopped itself for a save or a move
	Paused    bool // and nothing else
	Ran       bool // at least for a nanosecond, since it was built or restored
}

// Status returns what the domain does.
func (m *Memory) Status() (s Status, err error) {
	b, err := lockedMemory(domctlSize)
	if err != nil {
		return s, err
	}
	defer b.free()
	if err := m.domctl(b, domctlGetInfo); errors.Is(err, unix.ESRCH) {
		return s, nil
	} else if err != nil {
		return s, err
	}
	return parseStatus(b, m.domain), nil
}

// parseStatus decodes the answer to domctlGetInfo, which is of the next domain if that of the
// number does not exist.
func parseStatus(b []byte, domain xen.DomID) (s Status) {
	// struct xen_domctl_getdomaininfo, at 16: domain u16, padding, flags u32, six u64 (numbers
	// of pages, and a frame), then the nanoseconds that the domain has run, u64.
	const (
		number = 16
		flags  = number + 4
		time   = flags + 4 + 6*8
		// Of the flags, the lowest six are: dying, HVM (or PVH), shut down, paused, blocked,
		// running; those from 16 on are the reason of a shutdown (XEN_DOMINF_*, SHUTDOWN_*).
		states, dying, hvm, shutdown, paused = 1<<6 - 1, 1 << 0, 1 << 1, 1 << 2, 1 << 3
		reason, suspend                      = 16, 2
	)
	f := binary.NativeEndian.Uint32(b[flags:])
	if xen.DomID(binary.NativeEndian.Uint16(b[number:])) != domain || f&dying != 0 {
		return s
	}
	return Status{
		Exists:    true,
		Suspended: f&shutdown != 0 && f>>reason&0xFF == suspend,
		Paused:    f&states&^hvm == paused,
		Ran:       binary.NativeEndian.Uint64(b[time:]) != 0,
	}
}

// Built reports whether the domain is paused and has never run: built, and not started.
func (m *Memory) Built() (bool, error) {
	s, err := m.Status()
	if err == nil && !s.Exists {
		err = fmt.Errorf("devxen: domain %d: %w", m.domain, unix.ESRCH)
	}
	return s.Paused && !s.Ran, err
}

// Pause stops the domain once more: it runs again when it was unpaused as often as it was
// paused, by the toolstack and others.
func (m *Memory) Pause() error { return m.simple(domctlPause) }

// Unpause undoes one Pause.
func (m *Memory) Unpause() error { return m.simple(domctlUnpause) }

// simple calls an operation without fields.
func (m *Memory) simple(operation uint32) error {
	b, err := lockedMemory(domctlSize)
	if err != nil {
		return err
	}
	defer b.free()
	return m.domctl(b, operation)
}

// domctlSize is the size in bytes of struct xen_domctl, or more.
const domctlSize = 256

// domctl calls an operation on the domain. The argument is struct xen_domctl: cmd u32,
// interface_version u32, domain u16, padding to 16, then the fields of the operation.
func (m *Memory) domctl(b locked, operation uint32) (err error) {
	for _, v := range domctlVersions {
		binary.NativeEndian.PutUint32(b, operation)
		binary.NativeEndian.PutUint32(b[4:], v)
		binary.NativeEndian.PutUint16(b[8:], uint16(m.domain))
		if _, err = hypercall(m.f, callDomctl, b.at(0)); !errors.Is(err, unix.EACCES) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("devxen: control operation %d on domain %d: %w", operation, m.domain, err)
	}
	return nil
}
