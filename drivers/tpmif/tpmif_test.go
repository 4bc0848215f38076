package tpmif

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/drivers/xen/xentest"
)

// backDomain is the domain of the backend in these tests.
const backDomain xen.DomID = 2

// A device answers each command with itself, its locality in front of it.
type device struct {
	mu      sync.Mutex
	open    map[Peer]int
	refuse  error
	block   chan struct{} // where set, Execute waits for it or for Cancel
	respond func(command []byte) []byte
}

func (d *device) Open(p Peer) (Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return nil, d.refuse
	}
	if d.open == nil {
		d.open = map[Peer]int{}
	}
	d.open[p]++
	return &conn{d: d, p: p, cancel: make(chan struct{}, 1)}, nil
}

func (d *device) opened(p Peer) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[p]
}

type conn struct {
	d      *device
	p      Peer
	cancel chan struct{}
}

func (c *conn) Execute(locality uint8, command []byte) []byte {
	if c.d.block != nil {
		select {
		case <-c.d.block:
		case <-c.cancel:
			return ErrorResponse(0x909)
		}
	}
	if c.d.respond != nil {
		return c.d.respond(command)
	}
	return append([]byte{locality}, command...)[:min(len(command)+1, MaxPacket)]
}

func (c *conn) Cancel() {
	select {
	case c.cancel <- struct{}{}:
	default:
	}
}

func (c *conn) Close() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.open[c.p]--
}

// A setup is a host with a running backend.
type setup struct {
	*xentest.Host
	t      *testing.T
	ctx    context.Context
	device *device
	dom0   *xenstore.Client

	mu  sync.Mutex
	log []string
}

func (s *setup) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

func start(t *testing.T, d *device) *setup {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s := &setup{Host: xentest.NewHost(), t: t, ctx: ctx, device: d}
	s.dom0 = s.client(0).Store
	server := &Server{Domain: s.client(backDomain), Handler: d, Log: func(format string, args ...any) {
		s.mu.Lock()
		s.log = append(s.log, fmt.Sprintf(format, args...))
		s.mu.Unlock()
		t.Logf(format, args...)
	}}
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("server ended with %v", err)
		}
	})
	return s
}

func (s *setup) client(id xen.DomID) xenbus.Domain {
	d := s.Domain(id)
	s.t.Cleanup(func() { d.Store.Close() })
	return d
}

func uuidOf(front xen.DomID) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", front) }

func (s *setup) attach(front xen.DomID) {
	s.t.Helper()
	if _, err := Attach(s.ctx, s.dom0, Device{front, backDomain, 0, uuidOf(front)}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *setup) connect(front xen.DomID) *Frontend {
	s.t.Helper()
	s.attach(front)
	f, err := Connect(s.ctx, s.client(front), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *setup) peer(front xen.DomID) Peer { return Peer{front, 0, uuidOf(front), ""} }

func command(n int) []byte {
	b := make([]byte, n)
	b[0], b[1] = 0x80, 1
	binary.BigEndian.PutUint32(b[2:], uint32(n))
	for i := 10; i < n; i++ {
		b[i] = byte(i)
	}
	return b
}

func (s *setup) echo(f *Frontend, locality uint8, n int) {
	s.t.Helper()
	c := command(n)
	got, err := f.Transact(s.ctx, locality, c)
	if want := append([]byte{locality}, c...)[:min(n+1, MaxPacket)]; err != nil || !bytes.Equal(got, want) {
		s.t.Fatalf("command of %d bytes: %x, %v", n, got, err)
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	f := s.connect(5)
	for _, n := range []int{10, 11, 100, 4087, MaxPacket} {
		s.echo(f, uint8(n%5), n)
	}
	if _, err := f.Transact(s.ctx, 0, make([]byte, MaxPacket+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if v, _ := s.Store.Get("/local/domain/2/backend/vtpm/5/0/feature-protocol-v2"); v != "1" {
		t.Error("backend does not show protocol version 2")
	}
	if err := f.Close(s.ctx); err != nil {
		t.Error(err)
	}
	if ports, mappings, grants := s.Open(); ports+mappings+grants != 0 || s.device.opened(s.peer(5)) != 0 {
		t.Errorf("after close: %d ports, %d mappings, %d grants, %d connections", ports, mappings, grants, s.device.opened(s.peer(5)))
	}
	if _, err := f.Transact(s.ctx, 0, command(10)); !errors.Is(err, ErrBroken) {
		t.Errorf("after close: %v", err)
	}
	if err := f.Reopen(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.echo(f, 0, 20)
	// A second user takes the device without the first having closed, as a
	// kernel started by kexec does.
	f2, err := Connect(s.ctx, s.client(5), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.echo(f2, 1, 30)
	if n := s.device.opened(s.peer(5)); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	f := s.connect(7)
	s.echo(f, 0, 10)
	if s.device.opened(Peer{7, 0, uuidOf(7), ""}) != 1 {
		t.Error("handler was not told domain and uuid of the backend's directory")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s := start(t, &device{refuse: errors.New("not enrolled")})
	s.attach(5)
	d := s.client(5)
	if _, err := Connect(s.ctx, d, 0); !errors.Is(err, xenbus.ErrPeerClosed) {
		t.Errorf("refused: %v", err)
	}
	s.device.mu.Lock()
	s.device.refuse = nil
	s.device.mu.Unlock()
	f, err := Connect(s.ctx, d, 0)
	if err != nil {
		t.Fatal("after a refusal:", err)
	}
	s.echo(f, 0, 10)
}

// TestMany: the array of frontends of mini-os' backend overruns with several.
func TestMany(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	var wg sync.WaitGroup
	for i := range 40 {
		f := s.connect(xen.DomID(10 + i))
		wg.Go(func() {
			for range 20 {
				s.echo(f, 0, 10+i)
			}
		})
	}
	wg.Wait()
}

func TestFrontendVanishes(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	f := s.connect(5)
	s.echo(f, 0, 10)
	s.Store.Set(map[string]string{"/local/domain/5": ""})
	s.wait("the backend's directory goes", func() bool {
		_, there := s.Store.Get("/local/domain/2/backend/vtpm/5/0")
		return !there && s.device.opened(s.peer(5)) == 0
	})
	if _, m, _ := s.Open(); m != 0 {
		t.Error("page is still mapped")
	}
	s.echo(s.connect(6), 0, 10) // others are served on
}

// TestLater: a frontend that cannot be served yet waits, and is not refused.
func TestLater(t *testing.T) {
	t.Parallel()
	d := &device{refuse: fmt.Errorf("%w: the disk is busy", ErrLater)}
	s := start(t, d)
	s.attach(5)
	time.AfterFunc(retryDelay+retryDelay/2, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refuse = nil
	})
	f, err := Connect(s.ctx, s.client(5), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.echo(f, 0, 10)
	if n := strings.Count(strings.Join(s.said(), "\n"), "the disk is busy"); n != 1 {
		t.Errorf("told of it %d times:\n%s", n, strings.Join(s.said(), "\n"))
	}
}

func (s *setup) wait(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("waited in vain until", what)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := start(t, &device{block: make(chan struct{})})
	f := s.connect(5)
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	got, err := f.Transact(ctx, 0, command(10))
	if err != nil || !bytes.Equal(got, ErrorResponse(0x909)) {
		t.Errorf("cancelled command: %x, %v", got, err)
	}
	close(s.device.block)
	s.echo(f, 0, 10)
	// With nothing in progress, the page goes back to idle.
	p := f.front.Ring.Page()
	p.Store8(offState, stateCancel)
	f.front.Channel.Notify()
	s.wait("idle", func() bool { return p.Load8(offState) == stateIdle })
}

// TestBackendLeaves: a frontend whose backend goes away is told, and cannot
// mistake the ring for a working one.
func TestBackendLeaves(t *testing.T) {
	t.Parallel()
	s := start(t, &device{block: make(chan struct{})})
	f := s.connect(5)
	s.Store.Set(map[string]string{"/local/domain/2/backend/vtpm/5/0/state": "6"})
	if _, err := f.Transact(s.ctx, 0, command(10)); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}

// A raw frontend writes what it likes into its page.
type raw struct {
	*Frontend
	s *setup
}

func (r raw) submit(length uint32, extra uint8, at int, data []byte) (n uint32, b []byte) {
	r.s.t.Helper()
	p := r.front.Ring.Page()
	p.CopyIn(at, data)
	p.Store32(offLength, length)
	p.Store8(offExtra, extra)
	p.Store8(offState, stateSubmit)
	r.front.Channel.Notify()
	r.s.wait(fmt.Sprintf("an answer to length %#x with %d extra pages", length, extra),
		func() bool { return p.Load8(offState) == stateFinish })
	n = p.Load32(offLength)
	b = make([]byte, min(n, 4096))
	p.CopyOut(b, at)
	return n, b
}

// TestLengths has the lengths that wrap, or exceed the page, in mini-os' backend: each is answered, and the ring works on.
func TestLengths(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	f := s.connect(5)
	r := raw{f, s}
	for _, n := range []uint32{0, 1, 9, MaxPacket + 1, 4096, 4097, 0x7FFFFFFF, 0x80000000, 0xFFFFFC00,
		0xFFFFFFF7, 0xFFFFFFF8, 0xFFFFFFF9, 0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF} {
		if _, b := r.submit(n, 0, offData, command(10)); !bytes.Equal(b, ErrorResponse(rcCommandSize)) {
			t.Errorf("length %#x: %x", n, b)
		}
		s.echo(f, 0, 10)
	}
	// The packet lies behind the list of extra pages, which makes less room.
	for _, extra := range []uint8{1, 3, 255} {
		offset, capacity := packet(extra)
		if _, b := r.submit(20, extra, offset, command(20)); !bytes.Equal(b[1:], command(20)) {
			t.Errorf("%d extra pages: %x", extra, b)
		}
		if _, b := r.submit(uint32(capacity)+1, extra, offset, nil); !bytes.Equal(b, ErrorResponse(rcCommandSize)) {
			t.Errorf("%d extra pages, too long: %x", extra, b)
		}
	}
	if packetEnd, capacity := packet(255); packetEnd+capacity != 4096 || capacity < minPacket {
		t.Error("no room behind 255 extra pages")
	}
}

// TestResponseTooLong: mini-os writes the length of a response before it finds
// that there is no room, and then never answers.
func TestResponseTooLong(t *testing.T) {
	t.Parallel()
	for _, size := range []int{MaxPacket + 1, 5000, 1 << 20} {
		s := start(t, &device{respond: func([]byte) []byte { return make([]byte, size) }})
		n, b := raw{s.connect(5), s}.submit(10, 0, offData, command(10))
		if n != minPacket || !bytes.Equal(b, ErrorResponse(rcFailure)) {
			t.Errorf("response of %d bytes: length %d, %x", size, n, b)
		}
	}
}

// TestMovedMeanwhile changes every field while the command runs: the answer
// lies where the request lay when it was submitted, and the command does not
// change under the device's hands.
func TestMovedMeanwhile(t *testing.T) {
	t.Parallel()
	var page *xen.Page
	d := &device{}
	d.respond = func(command []byte) []byte {
		before := bytes.Clone(command)
		page.CopyIn(offData, bytes.Repeat([]byte{0xEE}, 4088))
		page.Store32(offLength, 0xFFFFFFFF)
		page.Store8(offExtra, 255)
		page.Store8(offLocality, 4)
		if !bytes.Equal(before, command) {
			t.Error("command changed while it ran")
		}
		return before
	}
	s := start(t, d)
	f := s.connect(5)
	page = f.front.Ring.Page()
	n, b := raw{f, s}.submit(64, 0, offData, command(64))
	if n != 64 || !bytes.Equal(b, command(64)) {
		t.Errorf("length %d: %x", n, b)
	}
}

// TestFlicker has a frontend that changes its page all the time, while
// another is served.
func TestFlicker(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	bad, good := s.connect(5), s.connect(6)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		p := bad.front.Ring.Page()
		for {
			select {
			case <-stop:
				return
			default:
			}
			p.Store32(offLength, []uint32{10, 4088, 0xFFFFFFF8, r.Uint32()}[r.IntN(4)])
			p.Store32(offState, r.Uint32())
			p.Store8(offState, uint8(r.IntN(5)))
			bad.front.Channel.Notify()
		}
	})
	for range 300 {
		s.echo(good, 0, 100)
	}
	close(stop)
	wg.Wait()
	if err := bad.Reopen(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.echo(bad, 0, 10)
}

// TestBadNodes has what a guest may write into its part of the store.
func TestBadNodes(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	good := s.connect(6)
	for i, nodes := range []map[string]string{
		{"ring-ref": "x"}, {"ring-ref": "4294967296"}, {"ring-ref": "77777"}, {"ring-ref": "-1"},
		{"event-channel": "99999"}, {"event-channel": ""}, {"feature-protocol-v2": "0"}, {"state": "x"}, {"state": "9"}, {"state": "256"}, {"state": "0"},
	} {
		id := xen.DomID(100 + i)
		s.attach(id)
		front := "/local/domain/" + strconv.Itoa(int(id)) + "/device/vtpm/0/"
		set := map[string]string{front + "ring-ref": "1", front + "event-channel": "1", front + "feature-protocol-v2": "1", front + "state": "3"}
		for k, v := range nodes {
			set[front+k] = v
		}
		s.Store.Set(set)
		s.wait(fmt.Sprintf("case %v closes", nodes), func() bool {
			v, _ := s.Store.Get(fmt.Sprintf("/local/domain/2/backend/vtpm/%d/0/state", id))
			return v == "5"
		})
		f, err := Connect(s.ctx, s.client(id), 0)
		if err != nil {
			t.Fatalf("case %v, afterwards: %v", nodes, err)
		}
		s.echo(f, 0, 10)
		s.echo(good, 0, 10)
	}
}

// TestQuota has a store that allows no further nodes: those that run go on, the
// others are told of once, and are served as soon as there is room. Devices that
// run are not asked for when another changes.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	good := s.connect(6)
	const uuid = "/local/domain/2/backend/vtpm/6/0/uuid"
	read := s.Store.Reads(uuid)
	s.Store.Full(true)
	s.attach(7)
	time.Sleep(2*retryDelay + retryDelay/2)
	s.echo(good, 0, 10)
	lines := 0
	for _, l := range s.said() {
		if strings.Contains(l, "quota of nodes is used up") {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("said %d times: %q", lines, s.said())
	}
	s.Store.Full(false)
	s.echo(s.connect(7), 0, 10)
	if n := s.Store.Reads(uuid) - read; n != 0 {
		t.Errorf("a device that runs was asked for %d times", n)
	}
}

// TestHostileBackend: lengths that a backend may give.
func TestHostileBackend(t *testing.T) {
	t.Parallel()
	for _, n := range []uint32{MaxPacket + 1, 0xFFFFFFFF, 0xFFFFFFF8} {
		f := &Frontend{front: xenbus.Frontend{Ring: sharedPage{xen.NewPage()}}}
		f.front.Channel = answer{f.front.Ring.Page(), n, make(chan struct{})}
		if b, err := f.Transact(context.Background(), 0, command(10)); !errors.Is(err, ErrResponse) || b != nil {
			t.Errorf("response of %d bytes: %v", n, err)
		}
	}
}

type sharedPage struct{ p *xen.Page }

func (s sharedPage) Page() *xen.Page { return s.p }
func (sharedPage) Ref() xen.GrantRef { return 0 }
func (sharedPage) Release() error    { return nil }

// answer finishes each command at once, with a length.
type answer struct {
	p *xen.Page
	n uint32
	c chan struct{}
}

func (a answer) Port() xen.Port     { return 0 }
func (a answer) C() <-chan struct{} { return a.c }
func (a answer) Close() error       { return nil }
func (a answer) Notify() error {
	a.p.Store32(offLength, a.n)
	a.p.Store8(offState, stateFinish)
	return nil
}

// FuzzPage plays pages on the backend: each step is an offset and bytes that
// are written there, and an event.
func FuzzPage(f *testing.F) {
	f.Add([]byte{0, 0, 10, 0, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{0, 0, 0xF8, 0xFF, 0xFF, 0xFF, 1, 0, 0, 255})
	f.Add([]byte{0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 4, 0, 7})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := &device{open: map[Peer]int{}}
		page := xen.NewPage()
		events := answer{page, 0, nil}
		r := &ring{page: page, events: quiet{events}, conn: &conn{d: d, cancel: make(chan struct{}, 1)}, log: t.Logf, stop: make(chan struct{})}
		for ; len(script) >= 10; script = script[10:] {
			page.CopyIn(int(binary.BigEndian.Uint16(script))%4096, script[2:10])
			before := page.Load8(offState)
			r.poll()
			switch got := page.Load8(offState); {
			case before == stateSubmit && got != stateFinish, before == stateCancel && got != stateIdle:
				t.Fatalf("state %d became %d", before, got)
			case before == stateSubmit:
				if _, capacity := packet(page.Load8(offExtra)); page.Load32(offLength) > uint32(max(capacity, MaxPacket)) {
					t.Fatal("impossible length")
				}
			}
		}
	})
}

type quiet struct{ answer }

func (quiet) Notify() error { return nil }
