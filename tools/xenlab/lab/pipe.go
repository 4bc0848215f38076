package lab

import (
	"io"
	"sync"
)

// A pipeBuf is a pipe whose writer never blocks, so that output of a guest cannot
// delay dom0's other messages.
type pipeBuf struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  []byte
	eof  bool
}

func newPipe() *pipeBuf {
	p := &pipeBuf{}
	p.cond = sync.NewCond(&p.mu)
	return p
}

// put appends bytes.
func (p *pipeBuf) put(b []byte) {
	p.mu.Lock()
	p.buf = append(p.buf, b...)
	p.mu.Unlock()
	p.cond.Signal()
}

// end makes Read return io.EOF once all bytes are read.
func (p *pipeBuf) end() {
	p.mu.Lock()
	p.eof = true
	p.mu.Unlock()
	p.cond.Signal()
}

// Read waits for bytes.
func (p *pipeBuf) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == 0 && !p.eof {
		p.cond.Wait()
	}
	if len(p.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.buf)
	p.buf = p.buf[n:]
	return n, nil
}
