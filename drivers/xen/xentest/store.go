package xentest

import (
	"io"
	"net"
	"strings"
	"sync"

	"stubtpm/drivers/xen"
)

// A Store is a xenstored with its store in memory. Permissions are recorded, not
// enforced.
type Store struct {
	mu    sync.Mutex
	nodes map[string]string
	perms map[string]string
	conns map[*conn]bool
	gen   uint64 // counts writes and commits of transactions
	lists int    // size in bytes of the largest DIRECTORY reply

	full  bool           // domains other than dom0 cannot create nodes
	reads map[string]int // how often each node was read

	unreadable map[string]bool // nodes whose reads fail

	// Conflicts is how many commits of transactions fail before one succeeds.
	Conflicts int
}

func newStore() *Store {
	return &Store{nodes: map[string]string{"": ""}, perms: map[string]string{}, reads: map[string]int{}, unreadable: map[string]bool{}, conns: map[*conn]bool{}, lists: 4096}
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

// Get returns a node's value and whether the node exists.
func (s *Store) Get(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.nodes[path]
	return v, ok
}

// Full sets whether the node quotas of all domains but dom0 are used up.
func (s *Store) Full(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// Unreadable sets whether reads of a node fail, as those of a xenstored in need do.
func (s *Store) Unreadable(path string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreadable[path] = is
}

// Reads returns how often a node was read.
func (s *Store) Reads(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[path]
}

// Set writes nodes as the toolstack would, all at once. The value "" removes a
// node.
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

// fire sends an event to all watches that a change at path fires.
func (s *Store) fire(path string) {
	for c := range s.conns {
		for _, w := range c.watches {
			full := c.full(w.path)
			if path == full || strings.HasPrefix(path, full+"/") || strings.HasPrefix(full, path+"/") {
				name := path
				if !strings.HasPrefix(w.path, "/") {
					name = strings.TrimPrefix(path, c.full("")+"/")
				}
				c.send(opWatchEvent, 0, 0, []byte(name+"\x00"+w.token+"\x00"))
			}
		}
	}
}
