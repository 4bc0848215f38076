package xenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Error is what the store answered to a request: the name of an errno.
type Error string

func (e Error) Error() string { return "xenstore: " + string(e) }

// Errors that callers take decisions on.
const (
	ErrNotExist = Error("ENOENT")
	ErrExist    = Error("EEXIST")
	ErrAgain    = Error("EAGAIN") // a transaction conflicted with another writer
	ErrAccess   = Error("EACCES")
	ErrTooBig   = Error("E2BIG")  // also: the domain's quota of watches is used up
	ErrNoSpace  = Error("ENOSPC") // the domain's quota of nodes is used up
)

// ErrClosed says that the connection to the store has ended.
var ErrClosed = errors.New("xenstore: connection closed")

// A Client makes requests of the store. Its methods may be called by several
// goroutines; answers are matched by number. One reader goroutine lives until
// the connection ends.
type Client struct {
	conn io.ReadWriteCloser

	writeMu sync.Mutex

	mu      sync.Mutex
	next    uint32
	pending map[uint32]chan message
	watches map[string]*Watch
	err     error // set when the reader ended
	done    chan struct{}
	turns   chan struct{} // one for each request under way
}

// NewClient returns a client over a connection, which it takes over.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{
		conn: conn, pending: map[uint32]chan message{}, watches: map[string]*Watch{},
		done: make(chan struct{}), turns: make(chan struct{}, maxPending),
	}
	go c.read()
	return c
}

// Close ends the connection. Requests under way return ErrClosed, and watches
// end.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

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
			reply <- m // of capacity one: does not block
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

// maxPending is how many requests may be under way at once; others wait for one
// of them to end.
const maxPending = 256

// ErrArgument says that a path, value or permission cannot be sent.
var ErrArgument = errors.New("xenstore: argument cannot be sent")

// request makes one request that begins with a path.
func (c *Client) request(ctx context.Context, o op, tx uint32, path string, parts ...string) ([]byte, error) {
	if path == "" || len(path) > maxPath || strings.Contains(path, "\x00") {
		return nil, ErrArgument
	}
	return c.do(ctx, o, tx, append([]string{path, "\x00"}, parts...)...)
}

// do makes one request and waits for its answer, or for ctx.
func (c *Client) do(ctx context.Context, o op, tx uint32, parts ...string) ([]byte, error) {
	body := []byte(strings.Join(parts, ""))
	if len(body) > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrArgument, len(body), maxPayload)
	}
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
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
			return nil, fmt.Errorf("%w: answer of type %d to a request of type %d", errProtocol, a.op, o)
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

// Read returns the value of a node.
func (c *Client) Read(ctx context.Context, path string) (string, error) {
	return c.readTx(ctx, 0, path)
}

func (c *Client) readTx(ctx context.Context, tx uint32, path string) (string, error) {
	b, err := c.request(ctx, opRead, tx, path)
	return string(b), wrap("read", path, err)
}

// ReadUint returns the value of a node that holds a decimal number of at most
// 32 bits.
func (c *Client) ReadUint(ctx context.Context, path string) (uint32, error) {
	s, err := c.Read(ctx, path)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), wrap("read", path, err)
}

// Write sets the value of a node, and makes it where it is not there.
func (c *Client) Write(ctx context.Context, path, value string) error {
	return c.writeTx(ctx, 0, path, value)
}

func (c *Client) writeTx(ctx context.Context, tx uint32, path, value string) error {
	_, err := c.request(ctx, opWrite, tx, path, value)
	return wrap("write", path, err)
}

// Mkdir makes a node without a value; one that is there stays as it is.
func (c *Client) Mkdir(ctx context.Context, path string) error {
	return c.mkdirTx(ctx, 0, path)
}

func (c *Client) mkdirTx(ctx context.Context, tx uint32, path string) error {
	_, err := c.request(ctx, opMkdir, tx, path)
	return wrap("mkdir", path, err)
}

// Remove deletes a node and all below it.
func (c *Client) Remove(ctx context.Context, path string) error {
	return c.removeTx(ctx, 0, path)
}

func (c *Client) removeTx(ctx context.Context, tx uint32, path string) error {
	_, err := c.request(ctx, opRemove, tx, path)
	return wrap("remove", path, err)
}

// Directory returns the names of a node's children.
func (c *Client) Directory(ctx context.Context, path string) ([]string, error) {
	b, err := c.request(ctx, opDirectory, 0, path)
	if errors.Is(err, ErrTooBig) {
		b, err = c.directoryParts(ctx, path)
	}
	return split(b), wrap("directory", path, err)
}

// maxDirectory is the size in bytes of the longest list of children taken.
const maxDirectory = 1 << 20

// directoryParts lists a directory that one answer cannot hold. Each part
// begins with the generation of the node; where it changed, the list begins
// anew. The last part ends in an empty name.
func (c *Client) directoryParts(ctx context.Context, path string) ([]byte, error) {
	var list []byte
	generation := ""
	for {
		b, err := c.request(ctx, opDirectoryPart, 0, path, strconv.Itoa(len(list)), "\x00")
		if err != nil {
			return nil, err
		}
		g, part, ok := bytes.Cut(b, []byte{0})
		if !ok || len(part) == 0 {
			return nil, fmt.Errorf("%w: part of a directory", errProtocol)
		}
		if string(g) != generation && len(list) > 0 {
			list, generation = nil, ""
			continue
		}
		generation = string(g)
		list = append(list, part...)
		if n := len(list); n == 1 || list[n-1] == 0 && list[n-2] == 0 {
			return list[:n-1], nil
		}
		if len(list) > maxDirectory {
			return nil, fmt.Errorf("xenstore: directory of more than %d bytes", maxDirectory)
		}
	}
}

// split returns the strings of a list, each of which ends in a zero.
func split(b []byte) []string {
	var names []string
	for len(b) > 0 {
		name, rest, _ := bytes.Cut(b, []byte{0})
		names = append(names, string(name))
		b = rest
	}
	return names
}

// SetPerms sets who may use a node: the first entry names the owner and what
// others may do, the next what single domains may. Each is a letter (n, r, w
// or b) and a domain id, such as "n0" or "r5".
func (c *Client) SetPerms(ctx context.Context, path string, perms ...string) error {
	return c.setPermsTx(ctx, 0, path, perms)
}

func (c *Client) setPermsTx(ctx context.Context, tx uint32, path string, perms []string) error {
	_, err := c.request(ctx, opSetPerms, tx, path, strings.Join(perms, "\x00"), "\x00")
	return wrap("set permissions", path, err)
}

// GetPerms returns who may use a node, in the form that SetPerms takes.
func (c *Client) GetPerms(ctx context.Context, path string) ([]string, error) {
	b, err := c.request(ctx, opGetPerms, 0, path)
	return split(b), wrap("get permissions", path, err)
}

// A Tx is a transaction: its writes are seen all at once, or not at all.
type Tx struct {
	c  *Client
	id uint32
}

// Read is Client.Read within the transaction.
func (t *Tx) Read(ctx context.Context, path string) (string, error) {
	return t.c.readTx(ctx, t.id, path)
}

// Write is Client.Write within the transaction.
func (t *Tx) Write(ctx context.Context, path, value string) error {
	return t.c.writeTx(ctx, t.id, path, value)
}

// Mkdir is Client.Mkdir within the transaction.
func (t *Tx) Mkdir(ctx context.Context, path string) error {
	return t.c.mkdirTx(ctx, t.id, path)
}

// Remove is Client.Remove within the transaction.
func (t *Tx) Remove(ctx context.Context, path string) error {
	return t.c.removeTx(ctx, t.id, path)
}

// SetPerms is Client.SetPerms within the transaction.
func (t *Tx) SetPerms(ctx context.Context, path string, perms ...string) error {
	return t.c.setPermsTx(ctx, t.id, path, perms)
}

// conflictPause is how much longer Transaction waits after each conflict, up
// to maxPause: on a host where many domains start, others get between for a
// while.
const (
	conflictPause = time.Millisecond
	maxPause      = 50 * time.Millisecond
)

// Transaction runs f in a transaction and commits it; f runs again where
// another writer came between, until ctx ends. An error of f aborts it.
func (c *Client) Transaction(ctx context.Context, f func(t *Tx) error) error {
	for pause := conflictPause; ; pause = min(pause+conflictPause, maxPause) {
		b, err := c.do(ctx, opTransactionStart, 0, "\x00")
		if err != nil {
			return wrap("transaction", "start", err)
		}
		id, err := strconv.ParseUint(strings.TrimRight(string(b), "\x00"), 10, 32)
		if err != nil {
			return fmt.Errorf("%w: transaction id", errProtocol)
		}
		if err := f(&Tx{c, uint32(id)}); err != nil {
			c.do(context.WithoutCancel(ctx), opTransactionEnd, uint32(id), "F\x00")
			if !errors.Is(err, ErrAgain) {
				return err
			}
		} else if _, err = c.do(ctx, opTransactionEnd, uint32(id), "T\x00"); !errors.Is(err, ErrAgain) {
			return wrap("transaction", "end", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return wrap("transaction", "end", ErrAgain)
		}
	}
}
