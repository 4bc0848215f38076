//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// privcmdMapBatch is IOCTL_PRIVCMD_MMAPBATCH_V2 of include/uapi/xen/privcmd.h.
var privcmdMapBatch = request('P', 4, 32)

// maxBatch is the largest number of pages that are mapped at once.
const maxBatch = 256

// Memory reads the memory of another domain at that domain's physical addresses.
// Xen allows it to a domain that may build or control the other one; an XSM
// policy can deny it to dom0 (image/flask).
type Memory struct {
	f      *os.File
	domain xen.DomID
}

// OpenMemory opens the memory of a domain.
func OpenMemory(domain xen.DomID) (*Memory, error) {
	f, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("devxen: %w", err)
	}
	return &Memory{f, domain}, nil
}

// Close closes the device.
func (m *Memory) Close() error { return m.f.Close() }

// ReadAt implements io.ReaderAt. It returns an error if the domain has no page
// at an address.
func (m *Memory) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("devxen: negative address %#x", at)
	}
	done := 0
	for done < len(b) {
		first := uint64(at) + uint64(done)
		offset := int(first % xen.PageSize)
		pages := min((offset+len(b)-done+xen.PageSize-1)/xen.PageSize, maxBatch)
		n, err := m.read(b[done:], first/xen.PageSize, pages, offset)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

var _ io.ReaderAt = (*Memory)(nil)

// read maps pages, starting at a frame number, and copies from offset on into b.
// struct privcmd_mmapbatch_v2 is: num u32, dom u16, padding, addr u64, arr u64
// (pointer to the frame numbers, u64 each), err u64 (pointer to the results, s32
// each).
func (m *Memory) read(b []byte, frame uint64, pages, offset int) (n int, err error) {
	conn, err := m.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	frames, errs := make([]uint64, pages), make([]int32, pages)
	for i := range frames {
		frames[i] = frame + uint64(i)
	}
	cerr := conn.Control(func(fd uintptr) {
		var mapped []byte
		mapped, err = unix.Mmap(int(fd), 0, pages*xen.PageSize, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return
		}
		defer unix.Munmap(mapped)
		arg := make([]byte, 32)
		binary.NativeEndian.PutUint32(arg, uint32(pages))
		binary.NativeEndian.PutUint16(arg[4:], uint16(m.domain))
		binary.NativeEndian.PutUint64(arg[8:], uint64(uintptr(unsafe.Pointer(&mapped[0]))))
		binary.NativeEndian.PutUint64(arg[16:], uint64(uintptr(unsafe.Pointer(&frames[0]))))
		binary.NativeEndian.PutUint64(arg[24:], uint64(uintptr(unsafe.Pointer(&errs[0]))))
		// The kernel reads and writes what arg points to.
		var pin runtime.Pinner
		pin.Pin(&frames[0])
		pin.Pin(&errs[0])
		defer pin.Unpin()
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, privcmdMapBatch, uintptr(unsafe.Pointer(&arg[0]))); e != 0 {
			err = e
			return
		}
		for i, e := range errs {
			if e != 0 {
				err = fmt.Errorf("frame %#x: %w", frames[i], unix.Errno(-e))
				return
			}
		}
		n = copy(b, mapped[offset:])
	})
	if err = errors.Join(cerr, err); err != nil {
		return n, fmt.Errorf("devxen: memory of domain %d: %w", m.domain, err)
	}
	return n, nil
}
