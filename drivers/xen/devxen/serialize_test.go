//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// message is a message of the store's wire format.
func message(typ, req uint32, body string) []byte {
	b := make([]byte, storeHeader, storeHeader+len(body))
	binary.LittleEndian.PutUint32(b, typ)
	binary.LittleEndian.PutUint32(b[4:], req)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(body)))
	return append(b, body...)
}

// TestSerialize has a xenstored that replies late, in pieces, with a watch event before
// each reply: no second request may arrive before the reply is read.
func TestSerialize(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	s := serialize(near)
	defer s.Close()
	const requests = 5
	writes := make(chan error, requests)
	for i := range requests {
		go func() { _, err := s.Write(message(2, uint32(i), "path")); writes <- err }()
	}
	go io.Copy(io.Discard, s)
	buf := make([]byte, 100)
	for i := range requests {
		n, err := far.Read(buf)
		if err != nil || n != storeHeader+4 {
			t.Fatalf("request %d: %d bytes, %v", i, n, err)
		}
		far.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := far.Read(buf); err == nil {
			t.Fatalf("%d bytes came before the answer to request %d", n, i)
		}
		far.SetReadDeadline(time.Time{})
		for _, b := range append(message(storeWatchEvent, 0, "path\x00token\x00"), message(2, 0, "value")...) {
			if _, err := far.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range requests {
		if err := <-writes; err != nil {
			t.Error(err)
		}
	}
}

// TestSerializeClose closes the device while a Write waits.
func TestSerializeClose(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	s := serialize(near)
	go io.Copy(io.Discard, far)
	if _, err := s.Write(message(2, 0, "")); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { _, err := s.Write(message(2, 1, "")); end <- err }()
	s.Close()
	select {
	case err := <-end:
		if err == nil {
			t.Error("a request was written to a closed device")
		}
	case <-time.After(5 * time.Second):
		t.Error("the writer still waits")
	}
}
