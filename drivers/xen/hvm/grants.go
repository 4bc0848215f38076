//go:build tamago

package hvm

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// A Mapper puts pages outside RAM into the address space.
type Mapper interface {
	Map(addr uint64, pages int) error // write-back
	Unmap(addr uint64, pages int) error
}

// Places are where Grants puts frames: addresses without memory.
type Places struct {
	Table       uint64 // of the grant table
	TableFrames int    // how many it may grow to
	Foreign     uint64 // of other domains' frames
	ForeignSize int    // how many may be mapped at once
}

// Grants shares pages of this domain and maps those of others. It implements
// xen.Grants.
type Grants struct {
	self   xen.DomID
	mapper Mapper
	places Places

	mu     sync.Mutex
	table  grantTable
	frames int                          // of the table that are mapped
	shared map[xen.GrantRef]*sharedPage // keeps the memory from being reused
	used   int                          // of Foreign, at some time
	free   []uint64
}

// NewGrants returns the grants of this domain, self. Call it once.
func NewGrants(self xen.DomID, m Mapper, p Places) *Grants {
	return &Grants{self: self, mapper: m, places: p, shared: make(map[xen.GrantRef]*sharedPage)}
}

// Errors of Grants.
var (
	ErrNoGrants = errors.New("xen: grant table is full")
	ErrNoRoom   = errors.New("xen: no room for another domain's page")
	ErrSelf     = errors.New("xen: a domain cannot map its own grant")
	ErrInUse    = errors.New("xen: the peer still maps the page")
)

// A grantStatus is what Xen answered for one entry (GNTST_*), negative.
type grantStatus int16

func (s grantStatus) Error() string { return fmt.Sprintf("xen: grant status %d", int16(s)) }

// Share implements xen.Grants.
func (g *Grants) Share(peer xen.DomID) (xen.SharedPage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, ok := g.table.take()
	if !ok {
		if err := g.grow(); err != nil {
			return nil, fmt.Errorf("grant to domain %d: %w", peer, err)
		}
		if ref, ok = g.table.take(); !ok {
			return nil, fmt.Errorf("grant to domain %d: %w", peer, ErrNoGrants)
		}
	}
	s := &sharedPage{grants: g, ref: ref, page: newPage()}
	g.shared[ref] = s
	g.table.grant(ref, peer, frameOf(s.page))
	return s, nil
}

// grow maps one more frame of the grant table, which Xen makes at need.
func (g *Grants) grow() error {
	q := abi.QueryGrantSize{Dom: abi.DomIDSelf}
	if err := check(call(abi.GrantTableOp, abi.GrantQuerySize, &q)); err != nil {
		return err
	}
	if q.Status != abi.GrantOkay {
		return grantStatus(q.Status)
	}
	if g.frames >= min(int(q.MaxFrames), g.places.TableFrames) {
		return ErrNoGrants
	}
	addr := g.places.Table + uint64(g.frames)*xen.PageSize
	if err := MapFrame(abi.MapSpaceGrantTable, uint64(g.frames), addr); err != nil {
		return err
	}
	if err := g.mapper.Map(addr, 1); err != nil {
		return err
	}
	g.frames++
	g.table.grow(words(g.places.Table, g.frames*abi.GrantsPerFrame))
	return nil
}

type sharedPage struct {
	grants *Grants
	ref    xen.GrantRef
	page   *xen.Page
	closed bool // guarded by grants.mu
}

func (s *sharedPage) Page() *xen.Page   { return s.page }
func (s *sharedPage) Ref() xen.GrantRef { return s.ref }

func (s *sharedPage) Release() error {
	g := s.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.closed {
		return xen.ErrClosed
	}
	s.closed = true
	if !g.table.end(s.ref) {
		return fmt.Errorf("release grant %d: %w", s.ref, ErrInUse)
	}
	delete(g.shared, s.ref)
	return nil
}

// again is how often Xen is asked for a page that it has to bring back first.
const again = 10

// Map implements xen.Grants. A page of this domain itself is refused: Xen would
// move it, out of the heap and for good, since a frame of an HVM domain has one
// address only (p2m.c, guest_physmap_add_entry).
func (g *Grants) Map(peer xen.DomID, ref xen.GrantRef) (xen.MappedPage, error) {
	if peer == g.self || peer == xen.DomIDSelf {
		return nil, fmt.Errorf("map grant %d: %w", ref, ErrSelf)
	}
	addr, err := g.place()
	if err != nil {
		return nil, fmt.Errorf("map grant %d of domain %d: %w", ref, peer, err)
	}
	m := abi.MapGrantRef{Status: abi.GrantAgain}
	for try := 0; m.Status == abi.GrantAgain && try < again; try++ {
		if try > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		m = abi.MapGrantRef{HostAddr: addr, Flags: abi.GrantMapHost, Ref: uint32(ref), Dom: uint16(peer)}
		err = check(call(abi.GrantTableOp, abi.GrantMapRef, &m))
		if err != nil {
			break
		}
	}
	if err == nil && m.Status != abi.GrantOkay {
		err = grantStatus(m.Status)
	}
	if err != nil {
		g.giveBack(addr)
		return nil, fmt.Errorf("map grant %d of domain %d: %w", ref, peer, err)
	}
	p := &mappedPage{grants: g, addr: addr, handle: m.Handle}
	if err := g.mapper.Map(addr, 1); err != nil {
		p.Unmap()
		return nil, fmt.Errorf("map grant %d of domain %d: %w", ref, peer, err)
	}
	p.page = pageAt(addr)
	return p, nil
}

// place returns an address for a foreign page.
func (g *Grants) place() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.free); n > 0 {
		addr := g.free[n-1]
		g.free = g.free[:n-1]
		return addr, nil
	}
	if g.used == g.places.ForeignSize {
		return 0, ErrNoRoom
	}
	g.used++
	return g.places.Foreign + uint64(g.used-1)*xen.PageSize, nil
}

func (g *Grants) giveBack(addr uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free = append(g.free, addr)
}

type mappedPage struct {
	grants *Grants
	addr   uint64
	handle uint32
	page   *xen.Page
	once   sync.Once
}

func (p *mappedPage) Page() *xen.Page { return p.page }

// Unmap gives the page back. Who touches it later faults.
func (p *mappedPage) Unmap() error {
	err := xen.ErrClosed
	p.once.Do(func() { err = p.unmap() })
	return err
}

func (p *mappedPage) unmap() error {
	g := p.grants
	if err := g.mapper.Unmap(p.addr, 1); err != nil {
		return err
	}
	u := abi.UnmapGrantRef{HostAddr: p.addr, Handle: p.handle}
	err := check(call(abi.GrantTableOp, abi.GrantUnmapRef, &u))
	if err == nil && u.Status != abi.GrantOkay {
		err = grantStatus(u.Status)
	}
	if err != nil {
		return fmt.Errorf("unmap grant: %w", err) // and the address is not used again
	}
	g.giveBack(p.addr)
	return nil
}
