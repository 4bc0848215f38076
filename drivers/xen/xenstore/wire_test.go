package xenstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

// pack is a message written out by hand, apart from message.append.
func pack(op, req, tx byte, body string) []byte {
	return append([]byte{op, 0, 0, 0, req, 0, 0, 0, tx, 0, 0, 0, byte(len(body)), byte(len(body) >> 8), 0, 0}, body...)
}

// TestWire has the bytes of each request and of an answer to it.
func TestWire(t *testing.T) {
	t.Parallel()
	type fn = func(context.Context, *Client) (any, error)
	for name, c := range map[string]struct {
		op, answerOp byte
		body, answer string
		do           fn
		want         any
		err          error
	}{
		"read":  {2, 2, "a/b\x00", "value", func(x context.Context, c *Client) (any, error) { return c.Read(x, "a/b") }, "value", nil},
		"uint":  {2, 2, "a\x00", "17", func(x context.Context, c *Client) (any, error) { return c.ReadUint(x, "a") }, uint32(17), nil},
		"write": {11, 11, "a\x00v w", "OK\x00", func(x context.Context, c *Client) (any, error) { return nil, c.Write(x, "a", "v w") }, nil, nil},
		"mkdir": {12, 12, "a\x00", "OK\x00", func(x context.Context, c *Client) (any, error) { return nil, c.Mkdir(x, "a") }, nil, nil},
		"rm":    {13, 13, "a\x00", "OK\x00", func(x context.Context, c *Client) (any, error) { return nil, c.Remove(x, "a") }, nil, nil},
		"set permissions": {14, 14, "a\x00n1\x00r2\x00", "OK\x00",
			func(x context.Context, c *Client) (any, error) { return nil, c.SetPerms(x, "a", "n1", "r2") }, nil, nil},
		"get permissions": {3, 3, "a\x00", "n1\x00r2\x00",
			func(x context.Context, c *Client) (any, error) { p, err := c.GetPerms(x, "a"); return len(p), err }, 2, nil},
		"directory": {1, 1, "a\x00", "x\x00yy\x00",
			func(x context.Context, c *Client) (any, error) { p, err := c.Directory(x, "a"); return len(p), err }, 2, nil},
		"error": {2, 16, "a\x00", "ENOENT\x00",
			func(x context.Context, c *Client) (any, error) { return c.Read(x, "a") }, "", ErrNotExist},
		"answer of another type": {2, 1, "a\x00", "x",
			func(x context.Context, c *Client) (any, error) { return c.Read(x, "a") }, "", errProtocol},
	} {
		client, server := net.Pipe()
		cl := NewClient(client)
		want := pack(c.op, 1, 0, c.body)
		go func() {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: sent %q, want %q", name, got, want)
			}
			// An event without a watch and an answer to nothing come before.
			for _, m := range [][]byte{pack(15, 0, 0, "x\x00y\x00"), pack(2, 99, 0, "stray"), pack(c.answerOp, 1, 0, c.answer)} {
				for _, b := range m {
					server.Write([]byte{b})
				}
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		got, err := c.do(ctx, cl)
		cancel()
		if !errors.Is(err, c.err) || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		cl.Close()
		server.Close()
	}
}

func TestRequestsRefused(t *testing.T) {
	t.Parallel()
	client, _ := net.Pipe()
	c := NewClient(client)
	ctx := context.Background()
	for _, path := range []string{"", "a\x00b", string(make([]byte, 4000))} {
		if _, err := c.Read(ctx, path); !errors.Is(err, ErrArgument) {
			t.Errorf("path of %d bytes: %v", len(path), err)
		}
	}
	if err := c.Write(ctx, "a", string(make([]byte, 4095))); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Read(ctx, "a"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestDeadline: a store that does not answer holds nobody up.
func TestDeadline(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	c := NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Read(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ended := make(chan error)
	go func() { _, err := c.Read(context.Background(), "b"); ended <- err }()
	time.Sleep(time.Millisecond)
	c.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestCuts feeds messages in pieces of every size.
func TestCuts(t *testing.T) {
	t.Parallel()
	stream := append(pack(2, 1, 0, "first"), pack(15, 0, 0, "")...)
	for cut := range stream {
		_, _, need, err := parse(stream[:cut])
		if whole := cut >= 21; err != nil || whole != (need == 0) || !whole && need <= cut {
			t.Errorf("cut at %d: need %d, %v", cut, need, err)
		}
	}
	r := iotest.OneByteReader(bytes.NewReader(stream))
	for _, want := range []string{"first", ""} {
		if m, err := readMessage(r); err != nil || string(m.body) != want {
			t.Errorf("%q, %v", m.body, err)
		}
	}
}

// FuzzParse: what is accepted is written back the same.
func FuzzParse(f *testing.F) {
	f.Add(pack(2, 1, 0, "body"))
	f.Add(append(pack(15, 0, 0, "a\x00b\x00"), 1, 2, 3))
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, need, err := parse(b)
		switch {
		case err != nil || need != 0:
			if m.body != nil || !bytes.Equal(rest, b) || need > headerSize+maxPayload {
				t.Error("something was returned besides the error")
			}
		case !bytes.Equal(append(m.append(nil), rest...), b):
			t.Errorf("%x came back as %x", b, m.append(nil))
		}
	})
}
