package crb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xentest"
)

// Domains of these tests.
const (
	tpmDomain   xen.DomID = 2
	guestDomain xen.DomID = 5
)

// A tpm answers each command with itself, and checks what must always hold.
type tpm struct {
	t      *testing.T
	mu     sync.Mutex
	refuse error
	block  chan struct{} // where set, Execute waits for it or for Cancel
	hold   chan struct{} // where set, OpenCRB is sent on it and then receives from it

	kept           bool
	open, commands int
	signals        []Signal
	data           []byte // of SignalHashData
}

func (d *tpm) OpenCRB(p tpmif.Peer, firmware bool) (Conn, error) {
	if d.hold != nil {
		d.hold <- struct{}{}
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Domain != guestDomain || p.UUID != "u" {
		d.t.Errorf("guest %v with UUID %q", p, p.UUID)
	}
	if d.refuse != nil {
		return nil, d.refuse
	}
	d.open++
	c := &conn{d: d, cancel: make(chan struct{}, 1)}
	c.firmware.Store(firmware)
	return c, nil
}

type conn struct {
	d        *tpm
	cancel   chan struct{}
	firmware atomic.Bool
}

func (c *conn) Token() (t [TokenSize]byte) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	binary.BigEndian.PutUint64(t[:], uint64(c.d.commands+1))
	return t
}

func (c *conn) Kept() bool { return c.d.kept }

func (c *conn) Execute(locality uint8, command []byte) []byte {
	c.d.mu.Lock()
	c.d.commands++
	block := c.d.block
	c.d.mu.Unlock()
	if n := len(command); n < minPacket || n > BufferSize || binary.BigEndian.Uint32(command[packetLength:]) != uint32(n) {
		c.d.t.Errorf("command of %d bytes: %x", n, command[:min(n, minPacket)])
	}
	if locality != 0 && !c.firmware.Load() {
		c.d.t.Errorf("locality %d of a guest that runs", locality)
	}
	if block != nil {
		select {
		case <-block:
		case <-c.cancel:
			return tpmif.ErrorResponse(0x909)
		}
	}
	command[0] = locality
	return command
}

func (c *conn) Cancel() {
	select {
	case c.cancel <- struct{}{}:
	default:
	}
}

func (c *conn) Signal(s Signal, data []byte) {
	if !c.firmware.Load() {
		c.d.t.Errorf("signal %d of a guest that runs", s)
	}
	if s == SignalGuestRuns {
		c.firmware.Store(false)
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.signals = append(c.d.signals, s)
	c.d.data = append(c.d.data, data...)
}

func (c *conn) Close() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.open--
}

// A world is a host with a TPM's domain that serves, and a guest whose pages it may map.
type world struct {
	*xentest.Host
	t     *testing.T
	ctx   context.Context
	dom0  xenbus.Domain
	pages []xen.SharedPage // control area, then buffer
	bell  xen.Channel      // dom0's end
	tpm   *tpm
}

func newWorld(t *testing.T, d *tpm) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w := &world{Host: xentest.NewHost(), t: t, ctx: ctx, tpm: d}
	w.dom0 = w.domain(0)
	guest := w.domain(guestDomain)
	for range 1 + BufferPages {
		p, err := guest.Grants.Share(tpmDomain)
		if err != nil {
			t.Fatal(err)
		}
		w.pages = append(w.pages, p)
	}
	Clear(w.control())
	s := &Server{Domain: w.domain(tpmDomain), Handler: d, Log: t.Logf}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("server ended with %v", err)
		}
		if d.open != 0 {
			t.Errorf("%d connections left", d.open)
		}
		if _, mapped, _ := w.Open(); mapped != 0 {
			t.Errorf("%d pages left mapped", mapped)
		}
	})
	return w
}

func (w *world) domain(id xen.DomID) xenbus.Domain {
	d := w.Domain(id)
	w.t.Cleanup(func() { d.Store.Close() })
	return d
}

func (w *world) control() *xen.Page { return w.pages[0].Page() }

const directory = "/local/domain/2/backend/crb/5"

// connect does what the host does, and returns the state in which the server leaves the
// device.
func (w *world) connect(firmware int) xenbus.State {
	w.t.Helper()
	w.ask(firmware)
	s, err := xenbus.WaitReopen(w.ctx, w.dom0.Store, directory+"/"+NodeState, xenbus.Connected, xenbus.Closed)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// ask writes what the host writes to have the guest served.
func (w *world) ask(firmware int) {
	w.t.Helper()
	c, err := w.dom0.Events.AllocUnbound(tpmDomain)
	if err != nil {
		w.t.Fatal(err)
	}
	w.bell = c
	w.Store.Set(map[string]string{
		directory + "/" + NodeUUID: "u", directory + "/" + NodeFirmware: strconv.Itoa(firmware),
		directory + "/" + NodeEventChannel: fmt.Sprint(c.Port()),
		directory + "/" + NodeControlRef:   fmt.Sprint(w.pages[0].Ref()),
		directory + "/" + NodeBufferRef:    fmt.Sprint(w.pages[1].Ref()),
		directory + "/" + NodeState:        "1",
	})
}

// client returns the guest's end, or the firmware's.
func (w *world) client() *Client {
	c := &Client{Control: w.control(), Ring: w.bell.Notify, Wait: func(ctx context.Context) error {
		select {
		case <-w.bell.C():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	for _, p := range w.pages[1:] {
		c.Buffer = append(c.Buffer, p.Page())
	}
	return c
}

// packet returns a command of n bytes.
func packet(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint32(b[packetLength:], uint32(n))
	return b
}

// TestUnreadState: a guest is served on if its state cannot be read for a while, and one that
// waits is served once it can.
func TestUnreadState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &tpm{t: t})
	const node = directory + "/" + NodeState
	fails := func() {
		w.Store.Unreadable(node, true)
		before := w.Store.Reads(node)
		w.Store.Set(map[string]string{directory + "/" + NodeUUID: "u"}) // it looks
		for w.Store.Reads(node) == before && w.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
	}
	fails()
	w.ask(0)
	time.Sleep(10 * time.Millisecond)
	w.Store.Unreadable(node, false)
	if _, err := xenbus.WaitState(w.ctx, w.dom0.Store, node, xenbus.Connected); err != nil {
		t.Fatal(err)
	}
	c := w.client()
	for range 2 {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		if _, err := c.Transact(ctx, 0, packet(20)); err != nil {
			t.Fatal(err)
		}
		fails()
	}
	w.Store.Unreadable(node, false)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &tpm{t: t})
	if s := w.connect(0); s != xenbus.Connected {
		t.Fatalf("state %v", s)
	}
	c := w.client()
	for _, n := range []int{minPacket, 100, 4095, 4096, 4097, BufferSize} {
		want := packet(n)
		got, err := c.Transact(w.ctx, 4, bytes.Clone(want))
		if want[0] = 0; err != nil || !bytes.Equal(got, want) { // locality 0, although it asks for 4
			t.Errorf("%d bytes: %d bytes, %v", n, len(got), err)
		}
	}
	for _, n := range []uint32{0, minPacket - 1, BufferSize + 1, 1 << 31} {
		b := packet(20)
		binary.BigEndian.PutUint32(b[packetLength:], n)
		if got, err := c.Transact(w.ctx, 0, b); err != nil || !bytes.Equal(got, tpmif.ErrorResponse(rcCommandSize)) {
			t.Errorf("length %d: %x, %v", n, got, err)
		}
	}
	if _, err := c.Transact(w.ctx, 0, make([]byte, BufferSize+1)); !errors.Is(err, ErrSize) {
		t.Errorf("got %v", err)
	}
	if err := c.Signal(w.ctx, SignalInit, nil); err != nil { // is a command that is in the buffer
		t.Error(err)
	}
	if len(w.tpm.signals) != 0 {
		t.Errorf("signals %v", w.tpm.signals)
	}
}

// TestHostRestarted: the host's process ends while the TPM's domain connects to it, and
// another one asks again. What comes of the first is no answer to the second.
func TestHostRestarted(t *testing.T) {
	t.Parallel()
	d := &tpm{t: t, hold: make(chan struct{})}
	w := newWorld(t, d)
	w.ask(0)
	<-d.hold
	w.bell.Close()
	w.ask(0)
	d.hold <- struct{}{} // for the first
	select {
	case <-d.hold: // for the second
		d.hold <- struct{}{}
	case <-time.After(10 * time.Second):
	}
	if s, err := xenbus.WaitReopen(w.ctx, w.dom0.Store, directory+"/"+NodeState, xenbus.Connected, xenbus.Closed); s != xenbus.Connected {
		t.Fatalf("state %v, %v", s, err)
	}
	if _, err := w.client().Transact(w.ctx, 0, packet(20)); err != nil {
		t.Error(err)
	}
}

// TestFirmware: signals and localities reach the TPM until the guest runs, also after the
// host's process was restarted; never after.
func TestFirmware(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &tpm{t: t})
	w.connect(1)
	c := w.client()
	signal := func(s Signal, data string) {
		t.Helper()
		if err := c.Signal(w.ctx, s, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	signal(SignalInit, "")
	signal(SignalHashStart, "")
	w.connect(1)
	c = w.client()
	signal(SignalHashData, "data")
	signal(99, "")
	signal(SignalHashEnd, "")
	if got, err := c.Transact(w.ctx, 4, packet(20)); err != nil || got[0] != 4 {
		t.Errorf("%x, %v", got, err)
	}
	signal(SignalGuestRuns, "")
	if got, err := c.Transact(w.ctx, 4, packet(20)); err != nil || got[0] != 0 {
		t.Errorf("%x, %v", got, err)
	}
	signal(SignalInit, "")
	if got := fmt.Sprint(w.tpm.signals, string(w.tpm.data)); got != "[1 2 3 4 5]data" {
		t.Errorf("the TPM had %s", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	d := &tpm{t: t, refuse: errors.New("not you")}
	w := newWorld(t, d)
	if s := w.connect(0); s != xenbus.Closed {
		t.Errorf("state %v", s)
	}
	if why, _ := w.Store.Get(directory + "/" + NodeError); why != "refused: not you" {
		t.Errorf("it says %q", why)
	}
	// One that cannot be served yet is tried again.
	d.mu.Lock()
	d.refuse = fmt.Errorf("%w: no manager", tpmif.ErrLater)
	d.mu.Unlock()
	time.AfterFunc(20*time.Millisecond, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refuse = nil
	})
	if s := w.connect(0); s != xenbus.Connected {
		t.Errorf("state %v", s)
	}
	if err := w.dom0.Store.Remove(w.ctx, directory); err != nil {
		t.Fatal(err)
	}
	for w.mappings() != 0 && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

func (w *world) mappings() int {
	_, n, _ := w.Open()
	return n
}

func TestCancel(t *testing.T) {
	t.Parallel()
	d := &tpm{t: t, block: make(chan struct{})}
	w := newWorld(t, d)
	w.connect(0)
	c := w.client()
	go func() {
		for d.count() == 0 {
			time.Sleep(time.Millisecond)
		}
		w.control().Store32(offCancel, 1)
		w.bell.Notify()
	}()
	if got, err := c.Transact(w.ctx, 0, packet(20)); err != nil || !bytes.Equal(got, tpmif.ErrorResponse(0x909)) {
		t.Errorf("%x, %v", got, err)
	}
}

func (d *tpm) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commands
}

// TestTakenUp: a command that was given to another domain of the TPM is not executed, since
// that one may have done so, and its sender learns it. One that was given while the host's
// process was away is executed.
func TestTakenUp(t *testing.T) {
	t.Parallel()
	d := &tpm{t: t}
	w := newWorld(t, d)
	for i, want := range []int{0, 1} {
		buffer{w.pages[1].Page()}.copyIn(packet(20))
		w.control().Store32(offStart, 1)
		w.connect(0)
		for w.control().Load32(offStart) != 0 && w.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if d.count() != want {
			t.Errorf("connection %d: %d commands were executed", i, d.count())
		}
		var b [minPacket]byte
		buffer{w.pages[1].Page()}.copyOut(b[:])
		if reboot := bytes.Equal(b[:], tpmif.ErrorResponse(rcReboot)); reboot != (want == 0) {
			t.Errorf("connection %d: response %x", i, b)
		}
	}
}

// TestOnce: a command in progress is executed once, and answered, while the host's process
// is restarted.
func TestOnce(t *testing.T) {
	t.Parallel()
	d := &tpm{t: t, block: make(chan struct{})}
	w := newWorld(t, d)
	w.connect(0)
	buffer{w.pages[1].Page()}.copyIn(packet(20))
	w.control().Store32(offStart, 1)
	w.bell.Notify()
	for d.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(d.block) })
	w.connect(0)
	for w.control().Load32(offStart) != 0 && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	var b [minPacket]byte
	buffer{w.pages[1].Page()}.copyOut(b[:])
	if d.count() != 1 || b[9] == 0x09 && b[8] == 0x09 {
		t.Errorf("executed %d times, response %x", d.count(), b)
	}
}

// hostile writes words and rings as steps say, and checks that the TPM still serves.
func hostile(w *world, steps []byte) {
	w.connect(0)
	for len(steps) >= 6 {
		value := binary.LittleEndian.Uint32(steps[2:])
		switch steps[0] % 4 {
		case 0:
			w.control().Store32(int(steps[1])%32*4, value)
		case 1:
			w.pages[1+int(steps[1])%BufferPages].Page().Store32(int(value)%1024*4, value)
		case 2:
			w.pages[1].Page().CopyIn(packetLength, steps[2:6])
		case 3:
			w.control().Store32(offStart, 1)
			w.bell.Notify()
		}
		steps = steps[6:]
	}
	// One request that is complete, after whatever is still under way.
	for w.control().Load32(offStart)&1 != 0 && w.ctx.Err() == nil {
		w.bell.Notify()
		time.Sleep(100 * time.Microsecond)
	}
	if got, err := w.client().Transact(w.ctx, 4, packet(30)); err != nil || len(got) != 30 || got[0] != 0 {
		w.t.Errorf("%x, %v", got, err)
	}
	if len(w.tpm.signals) != 0 {
		w.t.Errorf("signals %v", w.tpm.signals)
	}
}

func FuzzHostile(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x02\x00\xff\xff\xff\xff\x03\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, steps []byte) { hostile(newWorld(t, &tpm{t: t}), steps[:min(len(steps), 600)]) })
}

// TestHostile has a guest write while the TPM reads.
func TestHostile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &tpm{t: t})
	var scribbler sync.WaitGroup
	ctx, stop := context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer stop()
	scribbler.Go(func() {
		r := rand.New(rand.NewPCG(1, 1))
		for ctx.Err() == nil {
			w.control().Store32(r.IntN(32)*4, r.Uint32()>>r.IntN(32))
			w.pages[1].Page().Store32(r.IntN(4)*4, r.Uint32()>>r.IntN(32))
		}
	})
	w.connect(0)
	for ctx.Err() == nil {
		w.bell.Notify()
		time.Sleep(50 * time.Microsecond)
	}
	scribbler.Wait()
	if w.tpm.count() == 0 {
		t.Error("no command came through")
	}
	w.control().Store32(offStart, 0)
	w.control().Store32(offCancel, 0)
	time.Sleep(time.Millisecond)
	hostile(w, nil)
}

// A restless buffer has other bytes after each copy out of it.
type restless struct {
	buffer
	change func()
}

func (r restless) copyOut(dst []byte) {
	r.buffer.copyOut(dst)
	r.change()
}

// TestChangedHeader has the guest change its command's header after the length was checked:
// the TPM gets a command whose length is right.
func TestChangedHeader(t *testing.T) {
	t.Parallel()
	for _, later := range []uint32{0, minPacket, 12, 4000, BufferSize + 1, 1<<32 - 1} {
		w := newWorld(t, &tpm{t: t})
		c, err := w.dom0.Events.AllocUnbound(tpmDomain)
		if err != nil {
			t.Fatal(err)
		}
		b := buffer{xen.NewPage(), xen.NewPage()}
		put := func(length uint32) {
			b.copyIn(binary.BigEndian.AppendUint32([]byte{0x80, 1}, length))
		}
		const length = 20
		put(length)
		l := &link{control: xen.NewPage(), buffer: restless{b, func() { put(later) }}, events: c, conn: &conn{d: w.tpm}, log: t.Logf}
		l.request() // the TPM checks the length
		var response [packetLength + 4]byte
		b.copyOut(response[:])
		if got := binary.BigEndian.Uint32(response[packetLength:]); got != length || w.tpm.commands != 1 {
			t.Errorf("%d after the check: %d commands, a response of %d bytes", later, w.tpm.commands, got)
		}
	}
}
