package main

import (
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestListen: a command has all that a connection brings until its half is closed, and the
// connection all that the command writes until it ends.
func TestListen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	go listen(port, "wc -c", os.Stderr)
	for range 3 {
		var c net.Conn
		for range 100 {
			if c, err = net.Dial("tcp", "127.0.0.1:"+port); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Write(make([]byte, 100_000))
		c.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if b, err := io.ReadAll(c); err != nil || string(b) != "100000\n" {
			t.Errorf("%q, %v", b, err)
		}
		c.Close()
	}
}
