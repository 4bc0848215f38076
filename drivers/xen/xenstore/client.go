package xenstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// An Error is an error that xenstored returned: the name of an errno.
type Error string

func (e Error) Error() string { return "xenstore: " + string(e) }

// Errors that callers may want to distinguish.
const (
	ErrNotExist = Error("ENOENT")
	ErrExist    = Error("EEXIST")
	ErrAgain    = Error("EAGAIN") // a transaction conflicted with another writer
	ErrAccess   = Error("EACCES")
	ErrTooBig   = Error("E2BIG")  // also: the domain's quota of watches is used up
	ErrNoSpace  = Error("ENOSPC") // the domain's quota of nodes is used up
)

// ErrClosed is returned when the connection to xenstored has ended.
var ErrClosed = errors.New("xenstore: connection closed")

// A Client is a connection to xenstored. It is safe for concurrent use: replies
// are matched to requests by number. A goroutine reads until the connection ends.
type Client struct {
	conn io.ReadWriteCloser

	writeMu sync.Mutex

	mu      sync.Mutex
	next    uint32
	pending map[uint32]chan message
	watches map[string]*Watch
	err     error // set when the reader ended
	done    chan struct{}
	slots   chan struct{} // holds one value for each request in flight
}

// NewClient returns a client over conn, which it takes over.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{
		conn: conn, pending: map[uint32]chan message{}, watches: map[string]*Watch{},
		done: make(chan struct{}), slots: make(chan struct{}, maxPending),
	}
	go c.read()
	return c
}

// Close ends the connection. Requests in flight return ErrClosed, and the channels
// of watches are closed.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

// read passes replies and watch events on until the connection ends.
func (c *Client) read() {
	defer close(c.done)
	for {
		m, err := readMessage(c.conn)
		if err != nil {
			c.end(err)
			return
		}
		if m.op == opWatchEvent {
			c.event(m.body)
			continue
		}
		c.mu.Lock()
		reply := c.pending[m.req]
		delete(c.pending, m.req)
		c.mu.Unlock()
		if reply != nil {
			reply <- m // has capacity one: does not block
		}
	}
}

func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	for _, reply := range c.pending {
		close(reply)
	}
	c.pending = nil
	for _, w := range c.watches {
		close(w.c)
	}
	c.watches = nil
}

// maxPath is the size in bytes of the longest path (XENSTORE_ABS_PATH_MAX).
const maxPath = 3072

// maxPending is how many requests may be in flight at a time; more of them wait.
const maxPending = 256

// ErrArgument is returned for a path, value or permission that is too long, or
// empty, or contains a zero byte.
var ErrArgument = errors.New("xenstore: invalid argument")

// request makes one request whose first argument is a path.
func (c *Client) request(ctx context.Context, o op, tx uint32, path string, parts ...string) ([]byte, error) {
	if path == "" || len(path) > maxPath || strings.Contains(path, "\x00") {
		return nil, ErrArgument
	}
	return c.do(ctx, o, tx, append([]string{path, "\x00"}, parts...)...)
}

// do makes one request and waits for its reply, or until ctx ends.
func (c *Client) do(ctx context.Context, o op, tx uint32, parts ...string) ([]byte, error) {
	body := []byte(strings.Join(parts, ""))
	if len(body) > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrArgument, len(body), maxPayload)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reply := make(chan message, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	m := message{op: o, req: c.next, tx: tx, body: body}
	c.pending[m.req] = reply
	c.mu.Unlock()

	c.writeMu.Lock()
	_, err := c.conn.Write(m.append(nil))
	c.writeMu.Unlock()
	if err != nil {
		c.forget(m.req)
		return nil, fmt.Errorf("xenstore: %w", err)
	}
	select {
	case a, ok := <-reply:
		if !ok {
			return nil, ErrClosed
		}
		if a.op == opError {
			return nil, Error(strings.TrimRight(string(a.body), "\x00"))
		}
		if a.op != o {
			return nil, fmt.Errorf("%w: reply of type %d to a request of type %d", errProtocol, a.op, o)
		}
		return a.body, nil
	case <-ctx.Done():
		c.forget(m.req)
		return nil, ctx.Err()
	}
}

func (c *Client) forget(req uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, req)
}

func wrap(what, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, path, err)
}
