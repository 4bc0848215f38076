package hosted

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Server runs accept loops until Stop, and keeps account of connections so
// that Stop can end them.
type Server struct {
	mu      sync.Mutex
	stopped bool
	closers map[interface{ Close() error }]bool
	wg      sync.WaitGroup
	done    chan struct{}
}

// NewServer returns a Server that serves nothing yet.
func NewServer() *Server {
	return &Server{closers: map[interface{ Close() error }]bool{}, done: make(chan struct{})}
}

// Done is closed by the first Stop.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop closes all listeners and connections. It does not wait.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	close(s.done)
	for c := range s.closers {
		end(c)
	}
}

// end closes a listener or a connection that is in use.
func end(c interface{ Close() error }) {
	if r, ok := c.(interface{ CloseRead() error }); ok {
		r.CloseRead() // wakes a read that blocks its thread
	}
	c.Close()
}

// Wait waits until every loop and connection has ended.
func (s *Server) Wait() { s.wg.Wait() }

// Keep has Stop close a listener that may not be served by then; of a unix
// socket it removes the name.
func (s *Server) Keep(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers[l] = true
}

// add takes note of something to close; it says whether the server still runs.
func (s *Server) add(c interface{ Close() error }) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		c.Close()
		return false
	}
	s.closers[c] = true
	s.wg.Add(1)
	return true
}

func (s *Server) remove(c interface{ Close() error }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.closers, c)
	s.wg.Done()
}

// Go serves one connection that is there already; after, if not nil, is
// called when it has ended. It reports whether the server still runs; if not,
// the connection is closed.
func (s *Server) Go(conn net.Conn, serve func(net.Conn), after func()) bool {
	if !s.add(conn) {
		return false
	}
	go func() {
		serve(conn)
		s.remove(conn)
		if after != nil {
			after()
		}
	}()
	return true
}

// Listen serves the connections of l, at most limit at a time: a further
// client waits in the listener's queue. after is called when a client left.
func (s *Server) Listen(l net.Listener, limit int, serve func(net.Conn), after func()) {
	if !s.add(l) {
		return
	}
	slots := make(chan struct{}, limit)
	go func() {
		defer s.remove(l)
		for {
			slots <- struct{}{}
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				// Out of descriptors, or the client is gone already.
				<-slots
				time.Sleep(10 * time.Millisecond)
				continue
			}
			s.Go(conn, serve, func() {
				<-slots
				if after != nil {
					after()
				}
			})
		}
	}()
}

// An Endpoint is where a channel listens, as swtpm's --server and --ctrl say.
type Endpoint struct {
	Unix     bool
	Path     string      // of a unix socket
	Mode     os.FileMode // of the unix socket; 0770 if zero
	UID, GID int         // of the unix socket; -1 leaves them
	Addr     string      // host:port for TCP
	FD       int         // an open listening socket (--ctrl) or connection (--server); -1 if none
	ClientFD int         // an open connection; -1 if none
}

// Loopback says whether only this machine can reach the endpoint.
func (e Endpoint) Loopback() bool {
	if e.Unix || e.Addr == "" {
		return true
	}
	host, _, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxUnixPath is the longest path of a unix socket, in bytes (unix(7)).
const maxUnixPath = 107

// Open returns the listener of an endpoint with an address or path.
func (e Endpoint) Open() (net.Listener, error) {
	if !e.Unix {
		return net.Listen("tcp", e.Addr)
	}
	if len(e.Path) > maxUnixPath {
		return nil, fmt.Errorf("path of socket has %d bytes; the system's limit is %d: %s", len(e.Path), maxUnixPath, e.Path)
	}
	if err := removeStale(e.Path); err != nil {
		return nil, err
	}
	mode := e.Mode
	if mode == 0 {
		mode = 0o770
	}
	// The mode comes with the name: there is no moment at which others can
	// connect, and no later change by a path that may lead elsewhere. Nothing
	// else of this process makes files while it starts.
	old := unix.Umask(int(^mode & 0o777))
	l, err := net.Listen("unix", e.Path)
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	if err := ownSocket(e.Path, e.UID, e.GID); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket that nobody listens on, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	return os.Remove(path)
}
