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

// A Mapper maps and unmaps pages outside RAM at their physical addresses.
type Mapper interface {
	Map(addr uint64, pages int) error // with write-back caching
	Unmap(addr uint64, pages int) error
}

// Places are the physical addresses, without RAM behind them, at which Grants maps
// frames.
type Places struct {
	Table       uint64 // the grant table
	TableFrames int    // its largest size, in frames
	Foreign     uint64 // frames of other domains
	ForeignSize int    // how many of them can be mapped at a time
}

// Grants shares pages of this domain and maps pages of others. It implements
// xen.Grants.
type Grants struct {
	self   xen.DomID
	mapper Mapper
	places Places

	mu     sync.Mutex
	table  grantTable
	frames int                          // number of frames of the table that are mapped
	shared map[xen.GrantRef]*sharedPage // keeps the memory from being reused
	used   int                          // frames at Foreign that have ever been used
	free   []uint64                     // addresses of those that are free now
}

// NewGrants returns the grants of this domain, whose ID is self. It must be called
// only once.
func NewGrants(self xen.DomID, m Mapper, p Places) *Grants {
	return &Grants{self: self, mapper: m, places: p, shared: make(map[xen.GrantRef]*sharedPage)}
}

// Errors of Grants.
var (
	ErrNoGrants = errors.New("xen: grant table is full")
	ErrNoRoom   = errors.New("xen: too many pages of other domains are mapped")
	ErrSelf     = errors.New("xen: a domain cannot map its own grant")
	ErrInUse    = errors.New("xen: the peer still maps the page")
)

// A grantStatus is Xen's error for one grant (GNTST_*), a negative number.
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

// grow maps one more frame of the grant table, which Xen allocates on demand.
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

// Unmap removes the grant table from this domain's addresses. Its entries stay as they
// are; no method may be called afterwards.
func (g *Grants) Unmap() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.frames {
		if err := UnmapFrame(g.places.Table + uint64(i)*xen.PageSize); err != nil {
			return fmt.Errorf("grant table: %w", err)
		}
	}
	g.frames = 0
	return nil
}

// InUse returns how many pages are shared.
func (g *Grants) InUse() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.shared)
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

// maxTries is how often a grant is mapped while Xen pages its frame in.
const maxTries = 10

// Map implements xen.Grants. It returns ErrSelf for a page of this domain: a frame
// of an HVM domain has only one address (p2m.c, guest_physmap_add_entry), so Xen
// would move the page out of the heap permanently.
func (g *Grants) Map(peer xen.DomID, ref xen.GrantRef) (xen.MappedPage, error) {
	if peer == g.self || peer == xen.DomIDSelf {
		return nil, fmt.Errorf("map grant %d: %w", ref, ErrSelf)
	}
	addr, err := g.place()
	if err != nil {
		return nil, fmt.Errorf("map grant %d of domain %d: %w", ref, peer, err)
	}
	m := abi.MapGrantRef{Status: abi.GrantAgain}
	for try := 0; m.Status == abi.GrantAgain && try < maxTries; try++ {
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
		g.freePlace(addr)
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

// place returns a free address for a foreign page.
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

// freePlace makes an address available again.
func (g *Grants) freePlace(addr uint64) {
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

// Unmap unmaps the page. A later access to it faults.
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
		return fmt.Errorf("unmap grant: %w", err) // the address is not reused
	}
	g.freePlace(p.addr)
	return nil
}
