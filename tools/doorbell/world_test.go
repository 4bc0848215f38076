package doorbell

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/image/launch"
	"stubtpm/tools/xenlife"
	"stubtpm/vtpm/tpmtest"
)

// Domains of these tests, and the nodes of the guest.
const (
	manager xen.DomID = 1
	vtpmDom xen.DomID = 2
	guestID xen.DomID = 5

	vtpmUUID  = "6f3b2a10-0000-4000-8000-000000000001"
	guestUUID = "6f3b2a10-0000-4000-8000-000000000005"
	testBase  = backends + "/5/0"
)

// Addresses in the guest's memory.
const (
	programAt = 0x100000
	startAt   = 0x104000
	rsdpAt    = 0x105000
	xsdtAt    = 0x106000
	initrdAt  = 0x107000
)

// errCrash is what every access to the guest returns after the process has ended.
var errCrash = errors.New("the process has ended")

// A machine is a domain that the toolstack has built. Its methods are those of Guest; they
// fail after a number of calls.
type machine struct {
	mu    sync.Mutex
	w     *world
	pages map[uint64]*xen.Page

	paused   int
	ran      bool // at least one instruction
	restored bool
	poses    bool // if restored, to be where a PVH domain begins
	fails    bool // the next Unpause returns an error although the guest runs
	unknown  int  // how often nobody can tell whether it runs
	server   *ioServer
	servers  int

	left  int    // calls until the process ends; less than 0 for never
	crash func() // ends it
}

// touch counts a call. Precondition: mu is held.
func (m *machine) touch() error {
	if m.left == 0 {
		m.crash()
		return errCrash
	}
	m.left--
	return nil
}

func (m *machine) each(b []byte, at int64, do func(p *xen.Page, off int, b []byte) int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(b) {
		p := m.pages[uint64(at)/xen.PageSize]
		if p == nil {
			return n, fmt.Errorf("no page at %#x", at)
		}
		c := do(p, int(at%xen.PageSize), b[n:])
		n, at = n+c, at+int64(c)
	}
	return n, nil
}

func (m *machine) ReadAt(b []byte, at int64) (int, error) {
	return m.each(b, at, func(p *xen.Page, off int, b []byte) int { return p.CopyOut(b, off) })
}

func (m *machine) WriteAt(b []byte, at int64) (int, error) {
	m.mu.Lock()
	err := m.touch()
	m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return m.each(b, at, func(p *xen.Page, off int, b []byte) int { return p.CopyIn(off, b) })
}

func (m *machine) Populate(frames ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.touch(); err != nil {
		return err
	}
	for _, f := range frames {
		m.pages[f] = xen.NewPage()
	}
	return nil
}

// A mapping is a page that a process has mapped.
type mapping struct{ p *xen.Page }

func (m mapping) Page() *xen.Page { return m.p }
func (m mapping) Unmap() error    { return nil }

func (m *machine) Map(frame uint64) (xen.MappedPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.touch(); err != nil {
		return nil, err
	}
	if m.pages[frame] == nil {
		return nil, errors.New("no such page")
	}
	return mapping{m.pages[frame]}, nil
}

func (m *machine) Seed(grants ...devxen.Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.touch(); err != nil {
		return err
	}
	for _, g := range grants {
		m.w.Grant(guestID, g.Ref, g.Peer, m.pages[uint64(g.Frame)])
	}
	return nil
}

func (m *machine) Registers(vcpu int) (devxen.Registers, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := devxen.Registers{RBX: startAt, RIP: programAt, CR0: cr0PE | cr0ET}
	if m.ran || m.restored && !m.poses {
		r = devxen.Registers{RIP: 0xFFFFFFFF81000000, CR0: 0x80050033}
	}
	return r, vcpu == 0, nil
}

func (m *machine) Restored() (bool, error) { return m.restored, nil }

func (m *machine) Pause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.touch(); err != nil {
		return err
	}
	m.paused++
	return nil
}

// Unpause may have the guest run: then it must have been measured, or have no word of that.
func (m *machine) Unpause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.touch(); err != nil {
		return err
	}
	m.unpause()
	if m.fails {
		m.fails = false
		return errors.New("no answer")
	}
	return nil
}

func (m *machine) unpause() {
	if m.paused--; m.paused < 0 {
		m.w.t.Error("the guest was unpaused more often than paused")
	}
	if m.paused == 0 && !m.ran {
		m.ran = true
		if m.w.restores && !m.w.tpm.served() {
			m.w.t.Error("the restored guest runs before its vTPM knows of it")
		}
		if m.w.tpm.measuring() {
			m.w.t.Error("the guest runs while its TPM takes signals of its firmware")
		}
	}
}

func (m *machine) notRun() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unknown > 0 {
		m.unknown--
		return errors.New("xl list: no answer")
	}
	if m.ran || m.paused == 0 {
		return xenlife.ErrNotPaused
	}
	return nil
}

func (m *machine) Close() error { return nil }

// put writes bytes into the memory that the toolstack builds.
func (m *machine) put(at uint64, b []byte) {
	for len(b) > 0 {
		f := at / xen.PageSize
		if m.pages[f] == nil {
			m.pages[f] = xen.NewPage()
		}
		n := m.pages[f].CopyIn(int(at%xen.PageSize), b)
		at, b = at+uint64(n), b[n:]
	}
}

// newMachine builds a domain as libxl does.
func newMachine(w *world) *machine {
	m := &machine{w: w, pages: map[uint64]*xen.Page{}, paused: 1, left: -1}
	for f := range uint64(startAt / xen.PageSize) {
		m.pages[f] = xen.NewPage()
	}
	m.put(programAt, []byte("a kernel"))
	m.put(startAt-1, []byte{1})
	le := binary.LittleEndian
	start := make([]byte, 400)
	le.PutUint32(start, startInfoMagic)
	le.PutUint32(start[4:], 1)
	le.PutUint32(start[12:], 1)
	le.PutUint64(start[16:], startAt+100)
	le.PutUint64(start[24:], startAt+200)
	le.PutUint64(start[startInfoRSDP:], rsdpAt)
	le.PutUint64(start[100:], initrdAt)
	le.PutUint64(start[108:], 6)
	copy(start[200:], "console=hvc0")
	m.put(startAt, start)
	m.put(initrdAt, []byte("initrd"))
	rsdp := make([]byte, rsdpSize)
	copy(rsdp, "RSD PTR ")
	le.PutUint64(rsdp[rsdpXSDT:], xsdtAt)
	rsdp[rsdpChecksum] = sum(rsdp)
	m.put(rsdpAt, rsdp)
	m.put(xsdtAt, table("XSDT", 1, le.AppendUint64(le.AppendUint64(nil, 0xFC001000), 0xFC002000)))
	return m
}

// An ioServer has one virtual processor, at the event channel that the guest has.
type ioServer struct {
	page *xen.Page
	w    *world

	mu   sync.Mutex
	told map[uint64][]byte // by frame
}

func (s *ioServer) ID() uint16          { return 1 }
func (s *ioServer) Page() *xen.Page     { return s.page }
func (s *ioServer) VCPUs() (int, error) { return 1, nil }
func (s *ioServer) Destroy() error      { return nil }

// knows reports whether Xen was told of what is in a page.
func (s *ioServer) knows(frame uint64) bool {
	b := make([]byte, 256)
	s.w.machine.mu.Lock()
	s.w.machine.pages[frame].CopyOut(b, 0)
	s.w.machine.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Equal(b, s.told[frame])
}

// Modified keeps what the first bytes of the pages were when Xen was told of them.
func (s *ioServer) Modified(frames ...uint64) error {
	if s.w == nil {
		return nil
	}
	for _, f := range frames {
		b := make([]byte, 256)
		s.w.machine.mu.Lock()
		s.w.machine.pages[f].CopyOut(b, 0)
		s.w.machine.mu.Unlock()
		s.mu.Lock()
		if s.told == nil {
			s.told = map[uint64][]byte{}
		}
		s.told[f] = b
		s.mu.Unlock()
	}
	return nil
}
func (s *ioServer) Close() error { return nil }

// A tpm is the end of the vTPM's domain, with the rules of stubdom/service.
type tpm struct {
	*tpmtest.TPM
	mu       sync.Mutex
	reported bool // by the host
	used     bool // the report
	firmware bool
	capped   bool
	refuse   bool

	opened int
	token  [crb.TokenSize]byte  // that the guest's memory has
	told   *[crb.TokenSize]byte // by the host, of a restored guest
	kept   bool
}

func (d *tpm) served() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened > 0
}

func (d *tpm) measuring() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.firmware
}

func (d *tpm) OpenCRB(_ tpmif.Peer, firmware bool) (crb.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.refuse:
		return nil, errors.New("no")
	case firmware && !d.firmware:
		if !d.reported || d.used {
			return nil, errors.New("nobody reported it")
		}
		d.used, d.firmware = true, true
	case !firmware && d.firmware:
		d.firmware, d.capped = false, true
	}
	// A restored guest that is served already is the one that was restored.
	if d.opened++; d.told != nil && d.opened == 1 {
		d.kept = *d.told == d.token
		d.capped = !d.kept
	}
	d.token[0]++
	return &tpmConn{d}, nil
}

type tpmConn struct{ d *tpm }

func (c *tpmConn) Execute(locality uint8, command []byte) []byte {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return c.d.TPM.Execute(locality, command)
}
func (c *tpmConn) Token() (t [crb.TokenSize]byte) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return c.d.token
}
func (c *tpmConn) Kept() bool { return false }
func (c *tpmConn) Cancel()    {}
func (c *tpmConn) Close()     {}

func (c *tpmConn) Signal(s crb.Signal, data []byte) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	switch s {
	case crb.SignalInit:
		c.d.TPM.Init()
	case crb.SignalHashStart:
		c.d.TPM.HashStart()
	case crb.SignalHashData:
		c.d.TPM.HashData(data)
	case crb.SignalHashEnd:
		c.d.TPM.HashEnd()
	case crb.SignalGuestRuns:
		c.d.firmware = false
	}
}

// A world is a host with a manager, a vTPM's domain, and a guest that the toolstack has
// just built.
type world struct {
	*xentest.Host
	t       *testing.T
	ctx     context.Context
	dom0    xenbus.Domain
	tpm     *tpm
	machine *machine
	guest   xenbus.Domain

	mu        sync.Mutex
	vcpu      xen.Channel // of the guest's virtual processor
	log       []string
	destroyed bool
	keyless   bool  // later processes have no key
	restores  bool  // processes tell of restored guests
	reports   error // of the report to the manager
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	w := &world{Host: xentest.NewHost(), t: t, ctx: ctx, tpm: &tpm{TPM: tpmtest.New(t)}}
	w.dom0, w.guest = w.domain(0), w.domain(guestID)
	w.machine = newMachine(w)
	w.Store.Set(map[string]string{
		"/local/domain/1/name": "vtpmmgr", "/local/domain/5/name": "guest", "/local/domain/5/vm": "/vm/" + guestUUID,
		"/local/domain/5/memory/target": "65536", "/local/domain/5/cpu/0/availability": "online", "/local/domain/5/cpu/1/availability": "offline",
		"/local/domain/5/device/vtpm/0/state": "1",
		testBase + "/frontend":                "/local/domain/5/device/vtpm/0", testBase + "/uuid": vtpmUUID, testBase + "/state": "1",
	})
	w.startTPM(vtpmDom)
	return w
}

func (w *world) domain(id xen.DomID) xenbus.Domain {
	d := w.Domain(id)
	w.t.Cleanup(func() { d.Store.Close() })
	return d
}

// startTPM starts the domain of the vTPM.
func (w *world) startTPM(id xen.DomID) (stop func()) {
	dir := fmt.Sprintf("/libxl/%d/device/vtpm/0/", id)
	w.Store.Set(map[string]string{
		fmt.Sprintf("/local/domain/%d/name", id): "vtpm",
		dir + "frontend":                         fmt.Sprintf("/local/domain/%d/device/vtpm/0", id), dir + "uuid": vtpmUUID,
		dir + "backend": fmt.Sprintf("/local/domain/%d/backend/vtpm/%d/0", manager, id),
	})
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() {
		(&crb.Server{Domain: w.domain(id), Handler: w.tpm, Log: w.say}).Run(ctx)
		close(done)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// toolstack goes on once the device is ready, as xl does.
func (w *world) toolstack() {
	w.t.Helper()
	if _, err := xenbus.WaitState(w.ctx, w.dom0.Store, testBase+"/state", xenbus.InitWait); err != nil {
		w.t.Fatalf("xl: %v\n%q", err, w.said())
	}
	w.machine.mu.Lock()
	defer w.machine.mu.Unlock()
	w.machine.unpause()
}

// daemon runs a process that ends after a number of accesses to the guest, or by stop.
func (w *world) daemon(left int) (ended <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	w.machine.mu.Lock()
	w.machine.left, w.machine.crash = left, cancel
	w.machine.mu.Unlock()
	d := &Daemon{
		Domain: w.domain(0), Manager: "vtpmmgr", Log: w.say,
		OpenGuest: func(xen.DomID) (Guest, error) { return w.machine, nil },
		CreateServer: func(_ xen.DomID, first, last uint16, created func(uint16) error) (IOServer, error) {
			if first != crb.DoorbellPort || last != first+3 {
				w.t.Errorf("ports %#x to %#x", first, last)
			}
			if err := created(1); err != nil {
				return nil, err
			}
			w.machine.servers++
			return w.openServer()
		},
		OpenServer: func(xen.DomID, uint16) (IOServer, error) { return w.openServer() },
		NotRun:     func(context.Context, xen.DomID) error { return w.machine.notRun() },
		Destroy: func(ctx context.Context, _ xen.DomID) error {
			// The devices go first, as by xl, which waits for those that are not closed; then
			// the domain does.
			if s, _ := w.Store.Get(testBase + "/state"); s != "6" {
				w.t.Errorf("a device with state %s holds up the toolstack", s)
			}
			if err := w.dom0.Store.Remove(w.ctx, testBase); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.destroyed = true
			return nil
		},
		ReportMeasured: func(_ context.Context, id xen.DomID, uuid string, program [32]byte) error {
			if w.machine.notRun() != nil {
				w.t.Error("a guest that runs is reported as measured")
			}
			l, err := launch.Measure(w.machine, startAt, programAt, w.options(), usualBanks)
			if err != nil || id != guestID || uuid != vtpmUUID || program != l.Program {
				w.t.Errorf("reported domain %d, uuid %s, program %x (%v)", id, uuid, program, err)
			}
			w.mu.Lock()
			err = w.reports
			w.mu.Unlock()
			w.tpm.mu.Lock()
			defer w.tpm.mu.Unlock()
			w.tpm.reported = err == nil
			return err
		},
	}
	if w.restores {
		d.ReportRestored = func(_ context.Context, id xen.DomID, uuid string, token [crb.TokenSize]byte) error {
			if w.machine.notRun() != nil || id != guestID || uuid != vtpmUUID {
				w.t.Errorf("reported domain %d, uuid %s, runs: %v", id, uuid, w.machine.ran)
			}
			w.mu.Lock()
			err := w.reports
			w.mu.Unlock()
			w.tpm.mu.Lock()
			defer w.tpm.mu.Unlock()
			if err == nil {
				w.tpm.told = &token
			}
			return err
		}
	}
	if w.keyless {
		d.ReportMeasured = nil
	}
	done := make(chan struct{})
	go func() {
		d.Run(ctx)
		d.Domain.Store.Close()
		close(done)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return done, stop
}

func (w *world) options() launch.Options {
	return launch.Options{Memory: 64, VCPUs: 1, UUID: guestUUID}
}

// openServer opens the server: Xen gives it a new port for the virtual processor.
func (w *world) openServer() (IOServer, error) {
	if w.machine.server == nil {
		w.machine.server = &ioServer{page: xen.NewPage(), w: w}
	}
	c, err := w.guest.Events.AllocUnbound(0)
	if err != nil {
		return nil, err
	}
	w.machine.server.page.Store32(abi.IOReqPort, uint32(c.Port()))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vcpu = c
	return w.machine.server, nil
}

// ringAll raises the event of the guest's virtual processor.
func (w *world) ringAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vcpu.Notify()
}
