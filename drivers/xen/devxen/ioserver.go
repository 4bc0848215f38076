//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"fmt"
	"os"

	"stubtpm/drivers/xen"
)

// Operations of __HYPERVISOR_dm_op (public/hvm/dm_op.h).
const (
	dmCreateIOServer  = 1
	dmMapIORange      = 3
	dmSetIOServer     = 5
	dmDestroyIOServer = 6
	dmModifiedMemory  = 11
	dmVCPUs           = 20
)

// dmOpSize is the size in bytes of struct xen_dm_op, or more: Xen copies what there
// is. The operation's own fields begin at dmFields.
const (
	dmOpSize = 64
	dmFields = 8
)

// An IOServer is an ioreq server: it answers the accesses of another domain's virtual
// processors to I/O ports. A domain can have 8 at a time. The server outlives the
// process that made it: one of the same domain can open it again.
type IOServer struct {
	f      *os.File
	domain xen.DomID
	id     uint16
	page   *foreignPage
}

// CreateIOServer makes a server for the ports from first to last, and enables it.
// created is called with its number before it can answer anything, so that the caller
// can keep it for OpenIOServer.
func CreateIOServer(domain xen.DomID, first, last uint16, created func(id uint16) error) (*IOServer, error) {
	f, err := openPrivcmd()
	if err != nil {
		return nil, err
	}
	s := &IOServer{f: f, domain: domain}
	if err := s.create(first, last, created); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *IOServer) create(first, last uint16, created func(id uint16) error) error {
	b, err := s.op(dmCreateIOServer)
	if err != nil {
		return err
	}
	s.id = binary.NativeEndian.Uint16(b[4:])
	err = created(s.id)
	if err == nil {
		// {id u16, padding, type u32, first u64, last u64}; type 0: ports.
		_, err = s.op(dmMapIORange, uint64(s.id), uint64(first), uint64(last))
	}
	if err == nil {
		err = s.open()
	}
	if err != nil {
		s.Destroy()
	}
	return err
}

// OpenIOServer opens a server that this domain made before, and enables it.
func OpenIOServer(domain xen.DomID, id uint16) (*IOServer, error) {
	f, err := openPrivcmd()
	if err != nil {
		return nil, err
	}
	s := &IOServer{f: f, domain: domain, id: id}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open maps the page of requests. Xen fills in the ports of the virtual processors when
// the server is enabled.
func (s *IOServer) open() (err error) {
	// Frame 1 is the first page of requests; frame 0 is for buffered ones.
	if s.page, err = mapResource(s.f, s.domain, resourceIOReqServer, uint32(s.id), 1); err != nil {
		return err
	}
	_, err = s.op(dmSetIOServer, uint64(s.id)|1<<16) // {id u16, enabled u8}
	return err
}

// op calls an operation with 64-bit words of arguments, and returns its fields.
func (s *IOServer) op(number uint32, words ...uint64) ([]byte, error) {
	b := make([]byte, dmOpSize)
	binary.NativeEndian.PutUint32(b, number)
	for i, w := range words {
		binary.NativeEndian.PutUint64(b[dmFields+8*i:], w)
	}
	if err := dmOp(s.f, s.domain, b); err != nil {
		return nil, fmt.Errorf("devxen: device model operation %d for domain %d: %w", number, s.domain, err)
	}
	return b[dmFields:], nil
}

// ID returns the number of the server.
func (s *IOServer) ID() uint16 { return s.id }

// Page returns the page of requests: one slot for each virtual processor (package abi,
// IOReqSlot).
func (s *IOServer) Page() *xen.Page { return s.page.Page() }

// VCPUs returns how many virtual processors the domain can have.
func (s *IOServer) VCPUs() (int, error) {
	b, err := s.op(dmVCPUs)
	if err != nil {
		return 0, err
	}
	return int(binary.NativeEndian.Uint32(b)), nil
}

// Modified tells Xen that others than the domain have written to pages of it. Xen does not see
// what is written to a page that another domain has mapped: while the domain's memory is copied
// to another host, it would not be copied again.
func (s *IOServer) Modified(frames ...uint64) error {
	// The first buffer has: nr_extents u32, and an opaque u32 that begins as 0. The second one
	// has the extents: frame u64, number of pages u32, padding.
	b, extents := make([]byte, dmOpSize), make([]byte, 16*len(frames))
	binary.NativeEndian.PutUint32(b, dmModifiedMemory)
	binary.NativeEndian.PutUint32(b[dmFields:], uint32(len(frames)))
	for i, f := range frames {
		binary.NativeEndian.PutUint64(extents[16*i:], f)
		binary.NativeEndian.PutUint32(extents[16*i+8:], 1)
	}
	if err := dmOp(s.f, s.domain, b, extents); err != nil {
		return fmt.Errorf("devxen: pages of domain %d that were modified: %w", s.domain, err)
	}
	return nil
}

// Destroy ends the server: accesses to its ports do nothing from then on.
func (s *IOServer) Destroy() error {
	_, err := s.op(dmDestroyIOServer, uint64(s.id))
	return err
}

// Close unmaps the page and leaves the server as it is.
func (s *IOServer) Close() error {
	if s.page != nil {
		s.page.Unmap()
	}
	return s.f.Close()
}
