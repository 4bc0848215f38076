package hosted

import (
	"net"
	"sync"
)

// A single serves one connection at a time: a new one replaces the old.
type single struct {
	server *Server
	serve  func(net.Conn)
	left   func() // called when a client left that was not replaced; may be nil

	mu   sync.Mutex
	conn net.Conn
	done chan struct{} // closed when conn is served no more
}

// replace ends the connection in use, waits for its last command, and serves
// conn from now on.
func (s *single) replace(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		end(s.conn)
		<-s.done
	}
	done := make(chan struct{})
	s.conn, s.done = conn, done
	serve := func(c net.Conn) {
		defer close(done)
		s.serve(c)
	}
	after := func() {
		if s.forget(conn) && s.left != nil {
			s.left()
		}
	}
	if !s.server.Go(conn, serve, after) {
		s.conn = nil
	}
}

// forget drops a connection that ended, and reports whether it was the one in
// use.
func (s *single) forget(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != conn {
		return false
	}
	s.conn = nil
	return true
}
