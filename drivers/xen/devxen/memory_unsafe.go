//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// maxBatch is the largest number of pages that are mapped at once.
const maxBatch = 256

// Memory is the memory of another domain, at that domain's physical addresses. Xen
// allows it to a domain that may build or control the other one; an XSM policy can
// deny it to dom0 (image/flask).
type Memory struct {
	f      *os.File
	domain xen.DomID
}

// OpenMemory opens the memory of a domain.
func OpenMemory(domain xen.DomID) (*Memory, error) {
	f, err := openPrivcmd()
	if err != nil {
		return nil, err
	}
	return &Memory{f, domain}, nil
}

// Close closes the device. Pages that were mapped stay mapped.
func (m *Memory) Close() error { return m.f.Close() }

// ReadAt implements io.ReaderAt. It returns an error if the domain has no page
// at an address.
func (m *Memory) ReadAt(b []byte, at int64) (int, error) {
	return m.each(len(b), at, unix.PROT_READ, func(done int, mapped []byte) { copy(b[done:], mapped) })
}

// WriteAt implements io.WriterAt. It returns an error if the domain has no page
// at an address that it may write.
func (m *Memory) WriteAt(b []byte, at int64) (int, error) {
	return m.each(len(b), at, unix.PROT_READ|unix.PROT_WRITE, func(done int, mapped []byte) { copy(mapped, b[done:]) })
}

var (
	_ io.ReaderAt = (*Memory)(nil)
	_ io.WriterAt = (*Memory)(nil)
)

// each maps n bytes from an address on, a batch of pages at a time, and calls visit
// with each piece and how many bytes came before it. It returns how many bytes it
// visited.
func (m *Memory) each(n int, at int64, prot int, visit func(done int, mapped []byte)) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("devxen: negative address %#x", at)
	}
	done := 0
	for done < n {
		first := uint64(at) + uint64(done)
		offset := int(first % xen.PageSize)
		pages := min((offset+n-done+xen.PageSize-1)/xen.PageSize, maxBatch)
		mapped, err := m.mapFrames(first/xen.PageSize, pages, prot)
		if err != nil {
			return done, err
		}
		piece := mapped[offset:min(len(mapped), offset+n-done)]
		visit(done, piece)
		done += len(piece)
		if err := unix.Munmap(mapped); err != nil {
			return done, fmt.Errorf("devxen: unmap: %w", err)
		}
	}
	return done, nil
}

// mapFrames maps pages, starting at a frame number. struct privcmd_mmapbatch_v2 is:
// num u32, dom u16, padding, addr u64, arr u64 (pointer to the frame numbers, u64
// each), err u64 (pointer to the results, s32 each).
func (m *Memory) mapFrames(frame uint64, pages, prot int) (mapped []byte, err error) {
	frames, errs := make([]uint64, pages), make([]int32, pages)
	for i := range frames {
		frames[i] = frame + uint64(i)
	}
	// The kernel reads and writes what the argument points to.
	var pin runtime.Pinner
	pin.Pin(&frames[0])
	pin.Pin(&errs[0])
	defer pin.Unpin()
	mapped, err = mapPrivcmd(m.f, pages, prot, privcmdMapBatch, func(addr uintptr) []byte {
		arg := make([]byte, 32)
		binary.NativeEndian.PutUint32(arg, uint32(pages))
		binary.NativeEndian.PutUint16(arg[4:], uint16(m.domain))
		binary.NativeEndian.PutUint64(arg[8:], uint64(addr))
		binary.NativeEndian.PutUint64(arg[16:], uint64(uintptr(unsafe.Pointer(&frames[0]))))
		binary.NativeEndian.PutUint64(arg[24:], uint64(uintptr(unsafe.Pointer(&errs[0]))))
		return arg
	})
	for i, e := range errs {
		if e != 0 {
			if mapped != nil {
				unix.Munmap(mapped)
			}
			return nil, fmt.Errorf("devxen: memory of domain %d: frame %#x: %w", m.domain, frames[i], unix.Errno(-e))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("devxen: memory of domain %d: %w", m.domain, err)
	}
	return mapped, nil
}

// Map maps the page of a frame number, read-write, until it is unmapped. Linux does
// not keep the domain's memory from being freed: the domain stays a zombie until then.
func (m *Memory) Map(frame uint64) (xen.MappedPage, error) {
	b, err := m.mapFrames(frame, 1, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	return &foreignPage{b: b}, nil
}

// A foreignPage is a mapping of a page by privcmd.
type foreignPage struct {
	mu sync.Mutex
	b  []byte // nil once unmapped
}

func (p *foreignPage) Page() *xen.Page { return xen.PageAt(unsafe.Pointer(&p.b[0])) }

func (p *foreignPage) Unmap() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.b == nil {
		return xen.ErrClosed
	}
	b := p.b
	p.b = nil
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("devxen: unmap: %w", err)
	}
	return nil
}
