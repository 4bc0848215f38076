package xentest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"stubtpm/drivers/xen"
)

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

// full returns the absolute form of a path.
func (c *conn) full(path string) string {
	if strings.HasPrefix(path, "/") {
		return strings.TrimSuffix(path, "/")
	}
	return strings.TrimSuffix(fmt.Sprintf("/local/domain/%d/%s", c.domain, path), "/")
}

// send queues a message. It does not block.
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
		r := c.handle(op, tx, string(body))
		if r.errno != "" {
			c.send(opError, req, tx, []byte(r.errno+"\x00"))
		} else {
			c.send(op, req, tx, []byte(r.body))
		}
		if r.after != nil {
			r.after()
		}
		c.store.mu.Unlock()
	}
}
