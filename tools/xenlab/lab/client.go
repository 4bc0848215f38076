package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"stubtpm/tools/xenlab/wire"
)

// A Client speaks with one agent: that of dom0 or that of a Linux guest.
type Client struct {
	name string
	out  *wire.Writer

	mu    sync.Mutex
	in    wire.Receiver
	next  uint32
	procs map[uint32]*Proc
	hello chan struct{} // closed at the first sign of life
	alive bool
	dead  chan struct{}
	asks  chan wire.Request // for events; whoever reads them must not wait
}

// A Proc is a command that runs in a domain.
type Proc struct {
	c      *Client
	id     uint32
	start  wire.Request
	begun  bool // the agent has the request; under mu of c
	output func([]byte)
	done   chan struct{}
	code   int
	text   string
}

// An ExitError says that a command ran and failed, or could not be run.
type ExitError struct {
	Where, Command string
	Code           int
	Output         string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: %s: exit code %d: %s", e.Where, e.Command, e.Code, strings.TrimSpace(e.Output))
}

// ErrGone is returned once the connection to an agent has ended.
var ErrGone = errors.New("lab: the agent is gone")

// NewClient returns a client on rw. Lines of the same console that are no
// messages go to noise, which may be nil.
func NewClient(name string, rw io.ReadWriter, noise func(string)) *Client {
	c := &Client{
		name:  name,
		out:   wire.NewWriter(rw),
		next:  rand.Uint32(), // other clients of the same agent had others
		procs: make(map[uint32]*Proc),
		hello: make(chan struct{}),
		dead:  make(chan struct{}),
		asks:  make(chan wire.Request, 1),
	}
	go func() {
		wire.Read(rw, c.event, noise)
		close(c.dead)
	}()
	go c.remind()
	return c
}

// Ready waits for the agent's first message. It asks for one now and then,
// since the first may have been sent before anybody listened.
func (c *Client) Ready(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-c.hello:
			return nil
		case <-c.dead:
			return fmt.Errorf("%s: %w", c.name, ErrGone)
		case <-ctx.Done():
			return fmt.Errorf("%s: no sign of the agent: %w", c.name, ctx.Err())
		case <-tick.C:
			c.out.Send(wire.Request{Op: "hello"})
		}
	}
}

func (c *Client) event(e wire.Event) {
	c.mu.Lock()
	due, answer := c.in.Take(e)
	if e.Op == "hello" && !c.alive {
		c.alive = true
		close(c.hello)
	}
	p := c.procs[e.ID]
	if due && p != nil {
		p.begun = true
	}
	if due && e.Op == "exit" {
		delete(c.procs, e.ID)
	}
	c.mu.Unlock()
	if answer != nil {
		select {
		case c.asks <- *answer:
		default: // the agent is slow to read: a later one will do
		}
	}
	if !due || p == nil {
		return
	}
	switch e.Op {
	case "out":
		if p.output != nil {
			p.output(e.Data)
		}
	case "exit":
		p.code, p.text = e.Code, e.Text
		close(p.done)
	}
}

// remind tells the agent which events have come, and asks for those that are lost.
func (c *Client) remind() {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-c.dead:
			return
		case q := <-c.asks:
			c.out.Send(q)
		case <-tick.C:
			for _, q := range c.lost() {
				c.out.Send(q)
			}
		}
	}
}

// lost returns the requests that are to be sent again, and asks for events.
func (c *Client) lost() (again []wire.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.procs {
		if !p.begun {
			again = append(again, p.start)
		}
	}
	if q := c.in.Remind(); q != nil && len(c.procs) > 0 {
		again = append(again, *q)
	}
	return again
}

// Start starts a command whose output goes to output as it comes.
func (c *Client) Start(tty bool, output func([]byte), argv ...string) (*Proc, error) {
	return c.start(wire.Request{Op: "exec", TTY: tty, Argv: argv}, output)
}

// Open bridges a terminal device of the domain.
func (c *Client) Open(device string, output func([]byte)) (*Proc, error) {
	return c.start(wire.Request{Op: "open", Argv: []string{device}}, output)
}

func (c *Client) start(q wire.Request, output func([]byte)) (*Proc, error) {
	c.mu.Lock()
	c.next++
	q.ID = c.next
	p := &Proc{c: c, id: q.ID, start: q, output: output, done: make(chan struct{})}
	c.procs[p.id] = p
	c.mu.Unlock()
	return p, c.out.Send(q)
}

// Write gives input to the command.
func (p *Proc) Write(b []byte) (int, error) {
	for n := 0; n < len(b); n += wire.MaxData {
		part := b[n:min(n+wire.MaxData, len(b))]
		if err := p.c.out.Send(wire.Request{ID: p.id, Op: "stdin", Data: part}); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// CloseInput ends the command's input.
func (p *Proc) CloseInput() error {
	return p.c.out.Send(wire.Request{ID: p.id, Op: "stdin"})
}

// Kill ends the command and its children.
func (p *Proc) Kill() error {
	p.c.mu.Lock()
	p.begun = true // it must not begin now
	p.c.mu.Unlock()
	return p.c.out.Send(wire.Request{ID: p.id, Op: "kill"})
}

// Wait waits for the end of the command and returns its exit code and, where
// it did not exit by itself, why.
func (p *Proc) Wait(ctx context.Context) (int, string, error) {
	select {
	case <-p.done:
		return p.code, p.text, nil
	case <-p.c.dead:
		return 0, "", fmt.Errorf("%s: %w", p.c.name, ErrGone)
	case <-ctx.Done():
		p.Kill()
		return 0, "", ctx.Err()
	}
}

// Run runs a shell script and returns its output, errors included. A script
// that ends with another code than 0 gives an *ExitError.
func (c *Client) Run(ctx context.Context, script string) (string, error) {
	return c.RunInput(ctx, script, nil)
}

// RunInput is Run with input for the script.
func (c *Client) RunInput(ctx context.Context, script string, input []byte) (string, error) {
	var mu sync.Mutex
	var out bytes.Buffer
	p, err := c.Start(false, func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		out.Write(b)
	}, "/bin/sh", "-c", script)
	if err != nil {
		return "", err
	}
	if _, err := p.Write(input); err != nil {
		return "", err
	}
	if err := p.CloseInput(); err != nil {
		return "", err
	}
	code, text, err := p.Wait(ctx)
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		return out.String(), fmt.Errorf("%s: %s: %w: %s", c.name, first(script), err, out.String())
	}
	if code != 0 {
		return out.String(), &ExitError{Where: c.name, Command: first(script), Code: code, Output: text + "\n" + out.String()}
	}
	return out.String(), nil
}

// first returns the first line of a script, for messages.
func first(script string) string {
	l, rest, _ := strings.Cut(strings.TrimSpace(script), "\n")
	if rest != "" {
		l += " ..."
	}
	return l
}
