//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// request is Linux's _IOC(_IOC_NONE, class, number, size).
func request(class byte, number, size uintptr) uintptr {
	return size<<16 | uintptr(class)<<8 | number
}

// Numbers and sizes of include/uapi/xen/evtchn.h.
var (
	evtchnBindInterdomain = request('E', 1, 8)
	evtchnBindUnbound     = request('E', 2, 4)
	evtchnUnbind          = request('E', 3, 4)
	evtchnNotify          = request('E', 4, 4)
)

// Numbers and sizes of include/uapi/xen/gntdev.h and gntalloc.h.
var (
	gntdevMap       = request('G', 0, 24)
	gntdevUnmap     = request('G', 1, 16)
	gntallocAlloc   = request('G', 5, 24)
	gntallocDealloc = request('G', 6, 16)
)

// gntallocWritable is GNTALLOC_FLAG_WRITABLE.
const gntallocWritable = 1

// ioctl calls an ioctl whose argument is a struct in b, and returns its result.
func ioctl(f *os.File, request uintptr, b []byte) (result uint32, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(fd uintptr) {
		r, _, e := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(&b[0])))
		if e != 0 {
			err = e
		}
		result = uint32(r)
	})
	runtime.KeepAlive(b)
	return result, errors.Join(cerr, err)
}

func ioctlWords(f *os.File, request uintptr, words []uint32) (uint32, error) {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return ioctl(f, request, b)
}

// grants is an open gntdev, which maps pages, and gntalloc, which shares them.
type grants struct {
	mapper, sharer *os.File
}

// A page is a mapping of one page.
type page struct {
	f       *os.File
	b       []byte
	request uintptr // the ioctl that releases it
	end     []byte  // the argument of that ioctl
	ref     xen.GrantRef

	mu   sync.Mutex
	done bool
}

// mmap maps the page at the index that an ioctl returned. request is the ioctl
// that releases it.
func mmap(f *os.File, index []byte, request uintptr, ref xen.GrantRef) (*page, error) {
	end := append(append([]byte(nil), index...), 1, 0, 0, 0, 0, 0, 0, 0) // index, count
	p := &page{f: f, end: end, request: request, ref: ref}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	cerr := conn.Control(func(fd uintptr) {
		p.b, err = unix.Mmap(int(fd), int64(binary.NativeEndian.Uint64(index)), xen.PageSize,
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	})
	if err = errors.Join(cerr, err); err != nil {
		ioctl(f, request, end)
		return nil, err
	}
	return p, nil
}

func (p *page) Page() *xen.Page   { return xen.PageAt(unsafe.Pointer(&p.b[0])) }
func (p *page) Ref() xen.GrantRef { return p.ref }

func (p *page) Unmap() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return xen.ErrClosed
	}
	p.done = true
	if err := unix.Munmap(p.b); err != nil {
		return fmt.Errorf("devxen: unmap: %w", err)
	}
	if _, err := ioctl(p.f, p.request, p.end); err != nil {
		return fmt.Errorf("devxen: unmap: %w", err)
	}
	return nil
}

// Release is Unmap: the kernel keeps a page for as long as a peer maps it.
func (p *page) Release() error { return p.Unmap() }

// Share implements xen.Grants. struct ioctl_gntalloc_alloc_gref is: domid u16,
// flags u16, count u32, index u64 (out), reference u32 (out), padding.
func (g *grants) Share(peer xen.DomID) (xen.SharedPage, error) {
	b := make([]byte, 24)
	binary.NativeEndian.PutUint16(b, uint16(peer))
	binary.NativeEndian.PutUint16(b[2:], gntallocWritable)
	binary.NativeEndian.PutUint32(b[4:], 1)
	if _, err := ioctl(g.sharer, gntallocAlloc, b); err != nil {
		return nil, fmt.Errorf("devxen: share with domain %d: %w", peer, err)
	}
	p, err := mmap(g.sharer, b[8:16], gntallocDealloc, xen.GrantRef(binary.NativeEndian.Uint32(b[16:])))
	if err != nil {
		return nil, fmt.Errorf("devxen: share with domain %d: %w", peer, err)
	}
	clear(p.b)
	return p, nil
}

// Map implements xen.Grants. struct ioctl_gntdev_map_grant_ref is: count u32,
// padding, index u64 (out), domid u32, reference u32.
func (g *grants) Map(peer xen.DomID, ref xen.GrantRef) (xen.MappedPage, error) {
	b := make([]byte, 24)
	binary.NativeEndian.PutUint32(b, 1)
	binary.NativeEndian.PutUint32(b[16:], uint32(peer))
	binary.NativeEndian.PutUint32(b[20:], uint32(ref))
	if _, err := ioctl(g.mapper, gntdevMap, b); err != nil {
		return nil, fmt.Errorf("devxen: map grant %d of domain %d: %w", ref, peer, err)
	}
	p, err := mmap(g.mapper, b[8:16], gntdevUnmap, ref)
	if err != nil {
		return nil, fmt.Errorf("devxen: map grant %d of domain %d: %w", ref, peer, err)
	}
	return p, nil
}
