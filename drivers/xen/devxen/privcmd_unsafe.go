//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// Numbers and sizes of include/uapi/xen/privcmd.h.
var (
	privcmdHypercall   = request('P', 0, 48)
	privcmdMapBatch    = request('P', 4, 32) // IOCTL_PRIVCMD_MMAPBATCH_V2
	privcmdDMOp        = request('P', 5, 16)
	privcmdMapResource = request('P', 7, 32)
)

func openPrivcmd() (*os.File, error) {
	f, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("devxen: %w", err)
	}
	return f, nil
}

// mapPrivcmd reserves addresses for a number of pages and has an ioctl, whose argument
// depends on the address, map pages of another domain there.
func mapPrivcmd(f *os.File, pages, prot int, request uintptr, argument func(addr uintptr) []byte) (mapped []byte, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	cerr := conn.Control(func(fd uintptr) {
		mapped, err = unix.Mmap(int(fd), 0, pages*xen.PageSize, prot, unix.MAP_SHARED)
	})
	if err = errors.Join(cerr, err); err != nil {
		return nil, err
	}
	if _, err := ioctl(f, request, argument(uintptr(unsafe.Pointer(&mapped[0])))); err != nil {
		unix.Munmap(mapped)
		return nil, err
	}
	return mapped, nil
}

// Resources of another domain (public/memory.h, XENMEM_resource_*).
const (
	resourceIOReqServer = 0
	resourceGrantTable  = 1
)

// mapResource maps one frame of a resource, read-write. struct
// privcmd_mmap_resource is: dom u16, padding, type u32, id u32, idx u32, num u64, addr
// u64.
func mapResource(f *os.File, domain xen.DomID, kind, id, frame uint32) (*foreignPage, error) {
	b, err := mapPrivcmd(f, 1, unix.PROT_READ|unix.PROT_WRITE, privcmdMapResource, func(addr uintptr) []byte {
		arg := make([]byte, 32)
		binary.NativeEndian.PutUint16(arg, uint16(domain))
		binary.NativeEndian.PutUint32(arg[4:], kind)
		binary.NativeEndian.PutUint32(arg[8:], id)
		binary.NativeEndian.PutUint32(arg[12:], frame)
		binary.NativeEndian.PutUint64(arg[16:], 1)
		binary.NativeEndian.PutUint64(arg[24:], uint64(addr))
		return arg
	})
	if err != nil {
		return nil, fmt.Errorf("devxen: resource %d of domain %d: %w", kind, domain, err)
	}
	return &foreignPage{b: b}, nil
}

// hypercall calls Xen. Whatever arguments point to must be memory from lockedMemory.
func hypercall(f *os.File, number uint64, args ...uint64) (uint32, error) {
	arg := make([]byte, 48)
	binary.NativeEndian.PutUint64(arg, number)
	for i, a := range args {
		binary.NativeEndian.PutUint64(arg[8+8*i:], a)
	}
	return ioctl(f, privcmdHypercall, arg)
}

// A locked is memory that a hypercall may read and write: Xen gets its address, and
// cannot wait for the kernel to page it in.
type locked []byte

func lockedMemory(size int) (locked, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_LOCKED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("devxen: locked memory: %w", err)
	}
	return b, nil
}

func (l locked) free() { unix.Munmap(l) }

// at returns the address of a byte.
func (l locked) at(i int) uint64 { return uint64(uintptr(unsafe.Pointer(&l[i]))) }

// dmOp calls __HYPERVISOR_dm_op with buffers, which Xen reads and writes. struct
// privcmd_dm_op is: dom u16, num u16, padding, ubufs u64 (pointer to num pairs of
// address and size, u64 each). It is done for each command of a guest.
func dmOp(f *os.File, domain xen.DomID, buffers ...[]byte) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	pairs := make([][2]uint64, len(buffers))
	for i, b := range buffers {
		pin.Pin(&b[0])
		pairs[i] = [2]uint64{uint64(uintptr(unsafe.Pointer(&b[0]))), uint64(len(b))}
	}
	pin.Pin(&pairs[0])
	arg := make([]byte, 16)
	binary.NativeEndian.PutUint16(arg, uint16(domain))
	binary.NativeEndian.PutUint16(arg[2:], uint16(len(buffers)))
	binary.NativeEndian.PutUint64(arg[8:], uint64(uintptr(unsafe.Pointer(&pairs[0]))))
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := conn.Control(func(fd uintptr) { err = rawIoctlAt(fd, privcmdDMOp, unsafe.Pointer(&arg[0])) })
	return errors.Join(cerr, err)
}
