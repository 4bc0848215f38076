package xenmove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen"
)

const guestName = "mail"

// A world has two hosts, the source at index 0 and the target at 1, one guest with a vTPM,
// and xl and managers that are played.
type world struct {
	t      *testing.T
	mu     sync.Mutex
	steps  int
	faults map[int]string // by step
	hosts  [2]*host
	links  []*pipe
	procs  map[string]*proc // the latest of each name
	plain  bool             // the guest has no vTPM
	broken bool             // xl cannot unpause at the target
	awry   bool             // xl resumes the guest at the source although all is ready
	before string           // the vTPM at the source at the first fault
	wrong  []string
	last   [2]*held1 // the latest lock of each host
	first  *pipe     // first link
	silent bool      // no later link is answered, nor ends
	cutAt  int       // byte of the first link after which that is cut, 0 for none

	large bool   // the vTPM's state and its manager's message are the largest
	here  string // the vTPM at the source: live, sent or gone
	froze bool
	there string // at the target: "", offered, refused, received or live
	ever  bool   // the guest has run at the target
}

type host struct {
	next    xen.DomID
	domains map[xen.DomID]*domain
	records map[string][]byte
	locks   map[string]int
	visits  map[string]chan *end
}

type domain struct {
	name  string
	state State
}

func newWorld(t *testing.T, plain bool) *world {
	w := &world{t: t, faults: map[int]string{}, procs: map[string]*proc{}, plain: plain, here: "live"}
	for i := range w.hosts {
		w.hosts[i] = &host{next: xen.DomID(10 * (i + 1)), domains: map[xen.DomID]*domain{}, records: map[string][]byte{}, locks: map[string]int{}, visits: map[string]chan *end{}}
	}
	w.hosts[0].domains[7] = &domain{guestName, Running}
	return w
}

// A proc is a program of a host, which can be killed.
type proc struct {
	w     *world
	host  int
	dead  bool
	atEnd []func()
}

func (w *world) proc(name string, host int) *proc {
	p := &proc{w: w, host: host}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs[name] = p
	return p
}

// kill ends a program at once: what it has open is closed, and it does nothing more.
func (p *proc) kill() {
	if p == nil || p.dead {
		return
	}
	p.dead = true
	for _, f := range p.atEnd {
		f()
	}
}

// do is one step of a program: an effect, seen as a whole. Faults come before steps.
func (p *proc) do(effect func()) {
	w := p.w
	w.mu.Lock()
	if !p.dead {
		w.steps++
		w.fault(w.faults[w.steps])
	}
	dead := p.dead
	if !dead {
		effect()
		w.check()
	}
	w.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

func (w *world) fault(f string) {
	if f != "" && w.before == "" {
		w.before = w.here
	}
	switch f {
	case "":
	case "cut":
		for _, l := range w.links {
			l.cut()
		}
		w.links = nil
	case "destroy": // the copy, as the doorbell does of a guest that its vTPM refuses
		for id, d := range w.hosts[1].domains {
			if d.state == Waiting {
				delete(w.hosts[1].domains, id)
			}
		}
	case "reboot": // of the target
		for _, name := range []string{"receiver", "xl receive"} {
			w.procs[name].kill()
		}
		h := w.hosts[1]
		h.domains, h.records, h.locks = map[xen.DomID]*domain{}, map[string][]byte{}, map[string]int{}
	default:
		w.procs[f].kill()
	}
}

// check checks what must hold at any time.
func (w *world) check() {
	running := [2]bool{}
	for i, h := range w.hosts {
		for _, d := range h.domains {
			if d.state == Running {
				running[i] = true
			}
		}
	}
	bad := func(format string, args ...any) {
		w.wrong = append(w.wrong, fmt.Sprintf("step %d: ", w.steps)+fmt.Sprintf(format, args...))
	}
	if running[0] && running[1] {
		bad("the guest runs on both hosts")
	}
	if running[0] && w.ever {
		bad("the guest goes on at the source after it has run at the target")
	}
	w.ever = w.ever || running[1]
	if w.here == "live" && w.there == "received" || w.here != "gone" && w.there == "live" {
		bad("the vTPM is %s here and %s there", w.here, w.there)
	}
	if running[1] && !w.plain && w.there != "live" {
		bad("the guest runs at the target while its vTPM is %q there", w.there)
	}
}

// A pipe is a link or the two pipes of a program, with a buffer in each direction.
type pipe struct {
	mu   sync.Mutex
	cond *sync.Cond
	ways [2]struct {
		data   []byte
		closed bool // by its writer
	}
	broken bool
	left   int // bytes until it is cut, if not 0
	total  int
}

type end struct {
	p    *pipe
	side int
}

func newPipe() (*pipe, *end, *end) {
	p := &pipe{}
	p.cond = sync.NewCond(&p.mu)
	return p, &end{p, 0}, &end{p, 1}
}

// cut loses what is on its way.
func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.cond.Broadcast()
}

func (e *end) Read(b []byte) (int, error) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	w := &e.p.ways[1-e.side]
	for len(w.data) == 0 && !w.closed && !e.p.broken && !e.p.ways[e.side].closed {
		e.p.cond.Wait()
	}
	if len(w.data) == 0 || e.p.broken {
		return 0, io.EOF
	}
	n := copy(b, w.data)
	w.data = w.data[n:]
	return n, nil
}

func (e *end) Write(b []byte) (int, error) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	if e.p.broken || e.p.ways[0].closed || e.p.ways[1].closed {
		return 0, io.ErrClosedPipe
	}
	n := len(b)
	if e.p.left > 0 {
		if n = min(n, e.p.left); n == e.p.left {
			e.p.broken = true // what is on its way is lost
		}
		e.p.left -= n
	}
	e.p.total += n
	e.p.ways[e.side].data = append(e.p.ways[e.side].data, b[:n]...)
	e.p.cond.Broadcast()
	return n, nil
}

func (e *end) Close() error {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	e.p.ways[e.side].closed = true
	e.p.cond.Broadcast()
	return nil
}

// Guests.

type guests struct{ *proc }

func (g guests) Find(_ context.Context, name string) (id xen.DomID, ok bool, _ error) {
	g.do(func() {
		for n, d := range g.w.hosts[g.host].domains {
			if d.name == name {
				id, ok = n, true
			}
		}
	})
	return id, ok, nil
}

func (g guests) State(_ context.Context, id xen.DomID) (s State, _ error) {
	g.do(func() {
		if d := g.w.hosts[g.host].domains[id]; d != nil {
			s = d.state
		}
	})
	return s, nil
}

func (g guests) change(id xen.DomID, from State, name string) (err error) {
	g.do(func() {
		d := g.w.hosts[g.host].domains[id]
		if d == nil || d.state != from {
			err = fmt.Errorf("domain %d: %+v", id, d)
			return
		}
		d.state, d.name = Running, name
	})
	return err
}

func (g guests) Resume(_ context.Context, id xen.DomID, name string) error {
	return g.change(id, Stopped, name)
}

func (g guests) Run(_ context.Context, id xen.DomID, name string) error {
	return g.change(id, Waiting, name)
}

func (g guests) Destroy(_ context.Context, id xen.DomID) error {
	g.do(func() { delete(g.w.hosts[g.host].domains, id) })
	return nil
}

// Records.

type records struct{ *proc }

type held1 struct {
	h     *host
	guest string
	n     int // holders
	w     *world
	xl    *proc // that holds it
	// holder is the program that has the lock.
	holder *proc
}

func (l *held1) drop() {
	if l.n--; l.n == 0 {
		delete(l.h.locks, l.guest)
	}
}

type lockOf struct {
	p *proc
	l *held1
}

func (l lockOf) Close() error {
	l.p.do(func() { l.l.drop() })
	return nil
}

func (r records) Lock(guest string) (l Lock, err error) {
	r.do(func() {
		h := r.w.hosts[r.host]
		if h.locks[guest] != 0 {
			err = ErrBusy
			return
		}
		h.locks[guest] = 1
		x := &held1{h: h, guest: guest, n: 1, w: r.w, holder: r.proc}
		r.w.last[r.host] = x
		r.atEnd = append(r.atEnd, func() {
			if h.locks[guest] != 0 && x.n > 0 {
				x.drop()
			}
		})
		l = lockOf{r.proc, x}
	})
	return l, err
}

func (r records) Take(guest string) (l Lock, err error) {
	r.do(func() {
		if h := r.w.last[r.host]; h != nil && h.holder.dead && h.xl != nil {
			h.xl.kill()
		}
	})
	time.Sleep(time.Second)
	return r.Lock(guest)
}

func (r records) Load(name string) (b []byte, ok bool, _ error) {
	r.do(func() { b, ok = r.w.hosts[r.host].records[name] })
	return b, ok, nil
}

func (r records) Save(name string, b []byte) error {
	r.do(func() { r.w.hosts[r.host].records[name] = b })
	return nil
}

func (r records) Remove(name string) error {
	r.do(func() { delete(r.w.hosts[r.host].records, name) })
	return nil
}

func (r records) Listen(ctx context.Context, name string) (c io.ReadWriteCloser, err error) {
	ch := make(chan *end, 1)
	r.do(func() {
		r.w.hosts[r.host].visits[name] = ch
		r.atEnd = append(r.atEnd, func() {
			if r.w.hosts[r.host].visits[name] == ch {
				delete(r.w.hosts[r.host].visits, name)
			}
		})
	})
	select {
	case e := <-ch:
		r.do(func() { r.atEnd = append(r.atEnd, func() { e.Close() }) })
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r records) Visit(_ context.Context, name string) (c io.ReadWriteCloser, err error) {
	r.do(func() {
		ch := r.w.hosts[r.host].visits[name]
		if ch == nil {
			err = errors.New("nobody listens")
			return
		}
		_, a, b := newPipe()
		r.atEnd = append(r.atEnd, func() { a.Close() })
		ch <- b
		delete(r.w.hosts[r.host].visits, name)
		c = a
	})
	return c, err
}

// xl.

type xlProc struct {
	*end
	ended    chan struct{}
	by, proc *proc
	name     string
}

func (x xlProc) Close() error {
	x.by.do(func() {
		if x.name != "xl migrate" || !x.by.w.holds() {
			x.end.Close()
		}
	})
	return nil
}

func (x xlProc) Wait() error { <-x.ended; return nil }

func (x xlProc) Kill() {
	x.by.do(x.proc.kill)
	x.Wait()
}

// run starts a program of xl that holds the lock until its end, and is not killed with the
// program that started it.
func (p *proc) run(name string, lock Lock, program func(x *proc, c *end)) Process {
	x := p.w.proc(name, p.host)
	_, ours, its := newPipe()
	done := make(chan struct{})
	p.do(func() {
		h := lock.(lockOf).l
		h.n++
		p.atEnd = append(p.atEnd, func() {
			// The relay of xl migrate holds it.
			if name != "xl migrate" || !p.w.holds() {
				ours.Close()
			}
		})
		h.xl = x
		x.atEnd = append(x.atEnd, func() { its.Close() })
		go func() {
			defer close(done)
			defer func() {
				p.w.mu.Lock()
				defer p.w.mu.Unlock()
				if h.n > 0 {
					h.drop()
				}
				its.Close()
			}()
			program(x, its)
		}()
	})
	return xlProc{ours, done, p, x, name}
}

// holds reports whether the relay of xl migrate keeps it from noticing the end of its link.
func (w *world) holds() bool {
	b := string(w.hosts[0].records[DepartureRecord(guestName)])
	return strings.Contains(b, string(sending)) || strings.Contains(b, string(going))
}

const endOfStream = "end of stream"

// say writes, unless the program was killed.
func (p *proc) say(c *end, s string) (err error) {
	p.do(func() { _, err = io.WriteString(c, s) })
	return err
}

// migrate is xl migrate as far as it matters here.
func migrate(p *proc, c *end) {
	w := p.w
	d := func() *domain { return w.hosts[0].domains[7] }
	set := func(s State, name string) {
		p.do(func() {
			if d() != nil {
				d().state, d().name = s, name
			}
		})
	}
	if expect(c, xlBanner) != nil {
		return
	}
	for i := range 3 {
		if p.say(c, strings.Repeat("memory", i+1)) != nil {
			return
		}
	}
	set(Stopped, guestName)
	if p.say(c, endOfStream) != nil || expect(c, xlReady) != nil || w.awry {
		set(Running, guestName)
		return
	}
	set(Stopped, guestName+"--migratedaway")
	if p.say(c, xlGo) != nil || expect(c, xlReport) != nil {
		return
	}
	var code [1]byte
	if _, err := io.ReadFull(c, code[:]); err != nil {
		return
	}
	if code[0] != 0 {
		if expect(c, xlGo) == nil {
			set(Running, guestName)
		}
		return
	}
	p.do(func() { delete(w.hosts[0].domains, 7) })
}

// receive is xl migrate-receive.
func receive(p *proc, c *end) {
	h := p.w.hosts[1]
	if p.say(c, xlBanner) != nil {
		return
	}
	var id xen.DomID
	p.do(func() {
		h.next++
		id = h.next
		h.domains[id] = &domain{incoming(guestName), Waiting}
	})
	destroy := func() { p.do(func() { delete(h.domains, id) }) }
	got, b := "", make([]byte, 100)
	for !strings.HasSuffix(got, endOfStream) {
		n, err := c.Read(b)
		if err != nil {
			destroy()
			return
		}
		got += string(b[:n])
	}
	if p.say(c, xlReady) != nil {
		return
	}
	failed := expect(c, xlGo) != nil
	if !failed {
		p.do(func() {
			if failed = p.w.broken || h.domains[id] == nil; !failed {
				h.domains[id].name = guestName
			}
		})
	}
	if !failed {
		p.do(func() {
			if failed = h.domains[id] == nil; !failed {
				h.domains[id].state = Running
			}
		})
	}
	if !failed {
		p.say(c, xlReport+"\x00")
		return
	}
	if p.say(c, xlReport+"\x01") != nil {
		return // it leaves its copy
	}
	destroy()
	p.say(c, xlGo)
}

// Managers.

type leaving struct{ *proc }

func (l leaving) UUID() string { return "uuid" }
func (l leaving) Request(context.Context) (b []byte, _ error) {
	l.do(func() {})
	return []byte("request"), nil
}
func (l leaving) Approve(_ context.Context, offer []byte) (err error) {
	l.do(func() {
		if string(offer) != "offer" {
			err = errors.New("no offer")
		}
	})
	return err
}

// transfer is what the source sends to the target.
func (w *world) transfer() Transfer {
	if w.large {
		// A slot of a vTPM's disk (docs/image-format.md), and a message (docs/moves.md, "Bytes").
		return Transfer{bytes.Repeat([]byte{0xA5}, 1<<20+1024), bytes.Repeat([]byte{0x5A}, 10472)}
	}
	return Transfer{[]byte("state"), []byte("message")}
}

func (l leaving) Freeze(context.Context) error { l.do(func() { l.w.froze = true }); return nil }
func (l leaving) Thaw(context.Context) error {
	l.do(func() {
		if l.w.here == "live" {
			l.w.froze = false
		}
	})
	return nil
}
func (l leaving) Transfer(context.Context) (t Transfer, err error) {
	l.do(func() {
		if l.w.here == "live" && !l.w.froze {
			err = ErrNotSent
			return
		}
		if l.w.here == "live" {
			l.w.here = "sent"
		}
		t = l.w.transfer()
	})
	return t, err
}
func (l leaving) Answer(_ context.Context, a []byte) (release []byte, moved bool, err error) {
	l.do(func() {
		switch {
		case string(a) == "receipt":
			l.w.here, release, moved = "gone", []byte("release"), true
		case string(a) == "refusal" && l.w.here == "sent":
			l.w.here = "live"
		default:
			err = fmt.Errorf("answer %q while %s", a, l.w.here)
		}
	})
	return release, moved, err
}

type arriving struct{ *proc }

func (a arriving) Offer(_ context.Context, request []byte) ([]byte, error) {
	a.do(func() { a.w.there = "offered" })
	return []byte("offer"), nil
}
func (a arriving) Refuse(context.Context) error {
	a.do(func() {
		if a.w.there == "offered" {
			a.w.there = "refused"
		}
	})
	return nil
}
func (a arriving) Receive(_ context.Context, t Transfer) (answer []byte, taken bool, err error) {
	a.do(func() {
		if want := a.w.transfer(); !bytes.Equal(t.Message, want.Message) || !bytes.Equal(t.State, want.State) {
			err = errors.New("malformed")
			return
		}
		if a.w.there == "offered" {
			a.w.there = "received"
		}
		if taken = a.w.there == "received" || a.w.there == "live"; taken {
			answer = []byte("receipt")
		} else {
			answer = []byte("refusal")
		}
	})
	return answer, taken, err
}
func (a arriving) Release(_ context.Context, r []byte) (err error) {
	a.do(func() {
		if string(r) != "release" || a.w.there != "received" && a.w.there != "live" {
			err = fmt.Errorf("release %q while %q", r, a.w.there)
			return
		}
		a.w.there = "live"
	})
	return err
}
func (a arriving) Restored(_ context.Context, id xen.DomID) (err error) {
	a.do(func() {
		if d := a.w.hosts[1].domains[id]; d == nil || d.state != Waiting {
			err = fmt.Errorf("domain %d is not a copy that waits", id)
		}
	})
	return err
}

// source returns a Source that runs as a program of the source's host.
func (w *world) source() (*Source, *proc) {
	p := w.proc("source", 0)
	s := &Source{Guests: guests{p}, Records: records{p}, Log: w.t.Logf,
		Dial: func(ctx context.Context) (io.ReadWriteCloser, error) {
			link, a, b := newPipe()
			r := w.proc("receiver", 1)
			p.do(func() {
				if w.first == nil {
					w.first, link.left = link, w.cutAt
				}
				w.links = append(w.links, link)
				p.atEnd = append(p.atEnd, func() { a.Close() })
				r.atEnd = append(r.atEnd, func() { b.Close() })
			})
			if silent := w.silent && link != w.first; !silent {
				go w.receiver(r).Serve(ctx, b)
			}
			return a, nil
		},
		Start: func(_ context.Context, _ string, l Lock) (Process, error) {
			return p.run("xl migrate", l, migrate), nil
		}}
	if !w.plain {
		s.VTPM = leaving{p}
	}
	return s, p
}

func (w *world) receiver(p *proc) *Receiver {
	return &Receiver{Guests: guests{p}, Records: records{p}, Log: w.t.Logf,
		Start: func(_ context.Context, l Lock) (Process, error) { return p.run("xl receive", l, receive), nil },
		VTPM:  func(guest, uuid string) (Arriving, error) { return arriving{p}, nil }}
}
