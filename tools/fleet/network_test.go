package fleet

import (
	"bytes"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"
)

// A network is the loopback between the members of a cluster and their clients, with
// faults. All that goes to a member passes a proxy.
type network struct {
	mu      sync.Mutex
	ids     map[string]int // members by etcd's ID, as its requests to other members have it
	cut     int            // member that is cut off from the others, or -1
	clients bool           // and from its clients
	hold    bool           // what is sent meanwhile arrives afterwards, instead of never
	delay   time.Duration  // of all that members send to each other
}

const (
	client = -1
	nobody = -1
)

// set changes the faults.
func (n *network) set(cut int, clients, hold bool, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut, n.clients, n.hold, n.delay = cut, clients, hold, delay
}

// state says what happens now to bytes between a member and a peer: a client, or a member
// by its ID.
func (n *network) state(dst int, peer bool, id string) (cut, hold bool, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut == nobody {
		cut = false
	} else if !peer {
		cut = n.clients && dst == n.cut
	} else {
		src, known := n.ids[id]
		cut = dst == n.cut || src == n.cut || !known
	}
	if peer {
		delay = n.delay
	}
	return cut, n.hold, delay
}

// serverFrom is the header by which a member says who it is.
var serverFrom = regexp.MustCompile(`(?i)X-Server-From: ([0-9a-f]+)`)

// listen starts a proxy in front of a member's address and returns its own.
func (n *network) listen(t *testing.T, dst int, peer bool, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.serve(c, dst, peer, address)
		}
	}()
	return l.Addr().String()
}

func (n *network) serve(c net.Conn, dst int, peer bool, address string) {
	defer c.Close()
	var first []byte
	id := ""
	if peer {
		buf := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		for len(first) < 1<<14 && !bytes.Contains(first, []byte("\r\n\r\n")) {
			k, err := c.Read(buf)
			if err != nil {
				return
			}
			first = append(first, buf[:k]...)
		}
		c.SetReadDeadline(time.Time{})
		if m := serverFrom.FindSubmatch(first); m != nil {
			id = string(m[1])
		}
	}
	to, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	pump := func(from, to net.Conn, first []byte) {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 32<<10)
		for k := copy(buf, first); ; k = 0 {
			if k == 0 {
				var err error
				if k, err = from.Read(buf); err != nil {
					return
				}
			}
			for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				cut, hold, delay := n.state(dst, peer, id)
				if cut && (!hold || time.Since(begin) > time.Minute) {
					return
				}
				if !cut {
					time.Sleep(delay)
					break
				}
			}
			if _, err := to.Write(buf[:k]); err != nil {
				return
			}
		}
	}
	go pump(c, to, first)
	go pump(to, c, nil)
	<-done
}
