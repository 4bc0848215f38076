package xenstore

import (
	"bytes"
	"context"
	"strconv"
	"time"
)

// A Watch reports changes of a node and of all nodes below it. Changes coalesce:
// after a receive from C, the watcher must read what is in xenstore now.
type Watch struct {
	client *Client
	path   string
	token  string
	c      chan struct{}
}

// Watch watches a path, absolute or relative to the domain's own. One value can be
// received from C at once, because xenstored fires each new watch.
func (c *Client) Watch(ctx context.Context, path string) (*Watch, error) {
	w := &Watch{client: c, path: path, c: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	w.token = strconv.FormatUint(uint64(c.next), 10)
	c.watches[w.token] = w
	c.mu.Unlock()
	if _, err := c.request(ctx, opWatch, 0, path, w.token, "\x00"); err != nil {
		c.mu.Lock()
		delete(c.watches, w.token)
		c.mu.Unlock()
		return nil, wrap("watch", path, err)
	}
	return w, nil
}

// C returns a channel of capacity one from which one value can be received after
// one or more changes. It is closed when the connection ends, not by Stop.
func (w *Watch) C() <-chan struct{} { return w.c }

// Stop ends the watch.
func (w *Watch) Stop(ctx context.Context) error {
	c := w.client
	c.mu.Lock()
	delete(c.watches, w.token)
	c.mu.Unlock()
	_, err := c.request(ctx, opUnwatch, 0, w.path, w.token, "\x00")
	return wrap("unwatch", w.path, err)
}

// stopTimeout is how long Follow waits for xenstored at its end: only one that hangs takes so
// long.
const stopTimeout = time.Second

// Follow calls look at once, and again after each change of a node or of a node below it.
// Where look returns a time that is not zero, it is called after that time at the latest. It
// returns the first error of look, the error of ctx, or ErrClosed.
func (c *Client) Follow(ctx context.Context, path string, look func() (again time.Duration, err error)) error {
	w, err := c.Watch(ctx, path)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		w.Stop(ctx)
	}()
	for ctx.Err() == nil {
		again, err := look()
		if err != nil {
			return err
		}
		var retry <-chan time.Time
		if again > 0 {
			retry = time.After(again)
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return ErrClosed
			}
		case <-retry:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// event passes on a watch event: path, zero byte, token, zero byte.
func (c *Client) event(body []byte) {
	_, rest, ok := bytes.Cut(body, []byte{0})
	token, _, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watches[string(token)]; w != nil {
		select {
		case w.c <- struct{}{}:
		default: // changes coalesce
		}
	}
}
