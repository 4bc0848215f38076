package xentest

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"stubtpm/drivers/xen"
)

// A Store is a xenstore in memory. It was written apart from the client's
// parser, from xs_wire.h. Permissions are kept, not enforced.
type Store struct {
	mu    sync.Mutex
	nodes map[string]string
	perms map[string]string
	conns map[*conn]bool
	gen   uint64 // counts writes and commits of transactions
	lists int    // size in bytes of the largest DIRECTORY answer

	full  bool // domains other than 0 make no further nodes
	reads map[string]int

	// Conflicts is how many commits of transactions fail first.
	Conflicts int
}

func newStore() *Store {
	return &Store{nodes: map[string]string{"": ""}, perms: map[string]string{}, reads: map[string]int{}, conns: map[*conn]bool{}, lists: 4096}
}

// Connect returns a connection of a domain.
func (s *Store) Connect(d xen.DomID) io.ReadWriteCloser {
	client, server := net.Pipe()
	c := &conn{store: s, domain: d, pipe: server, txs: map[uint32]*transaction{}}
	c.wake = sync.NewCond(&c.mu)
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	go c.write()
	go c.read()
	return client
}

// Get returns a node's value and whether it is there, for tests to look.
func (s *Store) Get(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.nodes[path]
	return v, ok
}

// Full sets whether the quotas of nodes of all domains but 0 are used up.
func (s *Store) Full(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// Reads returns how often a node was read.
func (s *Store) Reads(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[path]
}

// Set writes nodes as the toolstack would, all at once; "" removes.
func (s *Store) Set(nodes map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, v := range nodes {
		if v == "" {
			remove(s.nodes, p)
		} else {
			set(s.nodes, p, v)
		}
	}
	s.gen++
	for p := range nodes {
		s.fire(p)
	}
}

func set(nodes map[string]string, path, value string) {
	for i := range path {
		if path[i] == '/' {
			if _, ok := nodes[path[:i]]; !ok {
				nodes[path[:i]] = ""
			}
		}
	}
	nodes[path] = value
}

func remove(nodes map[string]string, path string) {
	for p := range nodes {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(nodes, p)
		}
	}
}

// fire tells the watchers of a path that it, or what is below, changed.
func (s *Store) fire(path string) {
	for c := range s.conns {
		for _, w := range c.watches {
			full := c.full(w.path)
			if path == full || strings.HasPrefix(path, full+"/") || strings.HasPrefix(full, path+"/") {
				told := path
				if !strings.HasPrefix(w.path, "/") {
					told = strings.TrimPrefix(path, c.full("")+"/")
				}
				c.send(15, 0, 0, []byte(told+"\x00"+w.token+"\x00"))
			}
		}
	}
}

type watch struct{ path, token string }

type transaction struct {
	nodes   map[string]string
	changed []string
	gen     uint64
}

// A conn is the server's end of one connection.
type conn struct {
	store   *Store
	domain  xen.DomID
	pipe    net.Conn
	watches []watch
	txs     map[uint32]*transaction
	nextTx  uint32

	mu     sync.Mutex
	wake   *sync.Cond
	queue  [][]byte
	closed bool
}

func (c *conn) full(path string) string {
	if strings.HasPrefix(path, "/") {
		return strings.TrimSuffix(path, "/")
	}
	return strings.TrimSuffix(fmt.Sprintf("/local/domain/%d/%s", c.domain, path), "/")
}

func (c *conn) send(op, req, tx uint32, body []byte) {
	var b []byte
	for _, v := range []uint32{op, req, tx, uint32(len(body))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, append(b, body...))
	c.wake.Signal()
}

func (c *conn) write() {
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.closed {
			c.wake.Wait()
		}
		if c.closed {
			c.mu.Unlock()
			return
		}
		b := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		if _, err := c.pipe.Write(b); err != nil {
			return
		}
	}
}

func (c *conn) read() {
	defer func() {
		c.store.mu.Lock()
		delete(c.store.conns, c)
		c.store.mu.Unlock()
		c.pipe.Close()
		c.mu.Lock()
		c.closed = true
		c.wake.Signal()
		c.mu.Unlock()
	}()
	for {
		var h [16]byte
		if _, err := io.ReadFull(c.pipe, h[:]); err != nil {
			return
		}
		op, req := binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:])
		tx, n := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
		if n > 4096 {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.pipe, body); err != nil {
			return
		}
		c.store.mu.Lock()
		answer, fault, after := c.handle(op, tx, string(body))
		if fault != "" {
			c.send(16, req, tx, []byte(fault+"\x00"))
		} else {
			c.send(op, req, tx, []byte(answer))
		}
		if after != nil {
			after()
		}
		c.store.mu.Unlock()
	}
}

// handle carries out one request. after runs when the answer is on its way:
// the store answers first and fires watches then.
func (c *conn) handle(op, tx uint32, body string) (answer, fault string, after func()) {
	s := c.store
	const ok = "OK\x00"
	args := strings.Split(body, "\x00")
	if len(args) < 2 {
		return "", "EINVAL", nil
	}
	path := c.full(args[0])
	nodes, t := s.nodes, c.txs[tx]
	if tx != 0 && op != 7 {
		if t == nil {
			return "", "ENOENT", nil
		}
		nodes = t.nodes
	}
	changed := func() func() {
		if t != nil {
			t.changed = append(t.changed, path)
			return nil
		}
		s.gen++
		return func() { s.fire(path) }
	}
	value, exists := nodes[path]
	switch op {
	case 1, 20: // DIRECTORY, DIRECTORY_PART
		if !exists {
			return "", "ENOENT", nil
		}
		var list string
		for _, p := range slices.Sorted(maps.Keys(nodes)) {
			if name, ok := strings.CutPrefix(p, path+"/"); ok && !strings.Contains(name, "/") {
				list += name + "\x00"
			}
		}
		if op == 1 {
			if len(list) > s.lists {
				return "", "E2BIG", nil
			}
			return list, "", nil
		}
		at, err := strconv.Atoi(args[1])
		if err != nil || at > len(list) {
			return "", "EINVAL", nil
		}
		list += "\x00"
		generation := strconv.FormatUint(s.gen, 10) + "\x00"
		return generation + list[at:min(len(list), at+s.lists-len(generation))], "", nil
	case 2: // READ
		s.reads[path]++
		if !exists {
			return "", "ENOENT", nil
		}
		return value, "", nil
	case 3: // GET_PERMS
		if !exists {
			return "", "ENOENT", nil
		}
		if p := s.perms[path]; p != "" {
			return p, "", nil
		}
		return "n0\x00", "", nil
	case 4: // WATCH
		w := watch{args[0], args[1]}
		if slices.Contains(c.watches, w) {
			return "", "EEXIST", nil
		}
		c.watches = append(c.watches, w)
		return ok, "", func() { c.send(15, 0, 0, []byte(w.path+"\x00"+w.token+"\x00")) }
	case 5: // UNWATCH
		i := slices.Index(c.watches, watch{args[0], args[1]})
		if i < 0 {
			return "", "ENOENT", nil
		}
		c.watches = slices.Delete(c.watches, i, i+1)
		return ok, "", nil
	case 6: // TRANSACTION_START
		c.nextTx++
		c.txs[c.nextTx] = &transaction{nodes: maps.Clone(s.nodes), gen: s.gen}
		return fmt.Sprintf("%d\x00", c.nextTx), "", nil
	case 7: // TRANSACTION_END
		if t == nil {
			return "", "ENOENT", nil
		}
		delete(c.txs, tx)
		if args[0] != "T" {
			return ok, "", nil
		}
		if s.Conflicts > 0 || len(t.changed) > 0 && !t.current(s) {
			s.Conflicts = max(0, s.Conflicts-1)
			return "", "EAGAIN", nil
		}
		if len(t.changed) == 0 {
			return ok, "", nil
		}
		s.nodes = t.nodes
		s.gen++
		return ok, "", func() {
			for _, p := range t.changed {
				s.fire(p)
			}
		}
	case 11: // WRITE
		if !exists && s.full && c.domain != 0 {
			return "", "ENOSPC", nil
		}
		set(nodes, path, body[len(args[0])+1:])
		return ok, "", changed()
	case 12: // MKDIR
		if !exists {
			set(nodes, path, "")
			return ok, "", changed()
		}
		return ok, "", nil
	case 13: // RM
		if !exists {
			return "", "ENOENT", nil
		}
		remove(nodes, path)
		return ok, "", changed()
	case 14: // SET_PERMS
		if !exists {
			return "", "ENOENT", nil
		}
		s.perms[path] = strings.Join(args[1:], "\x00")
		return ok, "", nil
	}
	return "", "ENOSYS", nil
}

// current tells whether nobody else wrote since the transaction began.
func (t *transaction) current(s *Store) bool { return t.gen == s.gen }
