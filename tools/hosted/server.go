package hosted

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A Server runs accept loops until Stop, and records connections so that Stop can
// end them.
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

// Keep makes Stop close a listener even if it is not served by then. For a unix
// socket that removes the name.
func (s *Server) Keep(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers[l] = true
}

// add records something to close. It reports whether the server still runs; if not,
// c is closed.
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

// Go serves an open connection and calls after, if not nil, when it has ended. It
// reports whether the server still runs; if not, the connection is closed.
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
