package hvm

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// bell is a channel whose other end is a function.
type bell struct {
	c      chan struct{}
	notify func() // is called with mu held
	mu     sync.Mutex
	closed bool
}

func (b *bell) Port() xen.Port     { return 1 }
func (b *bell) C() <-chan struct{} { return b.c }

func (b *bell) Notify() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return xen.ErrClosed
	}
	b.notify()
	return nil
}

func (b *bell) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.c)
	return nil
}

// echo is a store that answers each byte with itself, at most limit bytes at a
// time.
func echo(p *xen.Page, limit uint32) *bell {
	b := &bell{c: make(chan struct{}, 1)}
	b.notify = func() {
		cons, prod := p.Load32(abi.StoreReqCons), p.Load32(abi.StoreReqProd)
		out, room := p.Load32(abi.StoreRspProd), abi.StoreRingSize-(p.Load32(abi.StoreRspProd)-p.Load32(abi.StoreRspCons))
		n := min(prod-cons, room, limit)
		for range n {
			var b [1]byte
			p.CopyOut(b[:], abi.StoreReq+int(cons%abi.StoreRingSize))
			p.CopyIn(abi.StoreRsp+int(out%abi.StoreRingSize), b[:])
			cons, out = cons+1, out+1
		}
		p.Store32(abi.StoreReqCons, cons)
		p.Store32(abi.StoreRspProd, out)
		select {
		case b.c <- struct{}{}:
		default:
		}
	}
	return b
}

func TestStoreRing(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint32{7, 1000, 4096} {
		page := xen.NewPage()
		// Counters run freely: begin near their end.
		for _, off := range []int{abi.StoreReqCons, abi.StoreReqProd, abi.StoreRspCons, abi.StoreRspProd} {
			page.Store32(off, 1<<32-700)
		}
		r := NewStoreRing(page, echo(page, limit))
		sent := make([]byte, 9000)
		for i := range sent {
			sent[i] = byte(i * 7)
		}
		go r.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("limit %d: other bytes came back", limit)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStoreRingBroken: counters that cannot be are an error, not a loop and not
// a read beyond the ring.
func TestStoreRingBroken(t *testing.T) {
	t.Parallel()
	page := xen.NewPage()
	r := NewStoreRing(page, echo(page, 0))
	defer r.Close()
	page.Store32(abi.StoreRspProd, abi.StoreRingSize+1)
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, errStoreRing) {
		t.Errorf("Read: %v", err)
	}
	page.Store32(abi.StoreReqCons, 5)
	if _, err := r.Write(make([]byte, 10)); !errors.Is(err, errStoreRing) {
		t.Errorf("Write: %v", err)
	}
}

// TestStoreRingClose ends a reader and a writer that wait.
func TestStoreRingClose(t *testing.T) {
	t.Parallel()
	page := xen.NewPage()
	r := NewStoreRing(page, echo(page, 0))
	result := make(chan error, 2)
	go func() { _, err := r.Read(make([]byte, 1)); result <- err }()
	go func() { _, err := r.Write(make([]byte, 3000)); result <- err }()
	time.Sleep(10 * time.Millisecond)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		select {
		case err := <-result:
			if !errors.Is(err, xen.ErrClosed) {
				t.Errorf("%v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("still waits after Close")
		}
	}
}
