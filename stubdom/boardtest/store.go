//go:build tamago

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen/xenbus"
)

// timeout bounds the wait for an event that should come at once.
const timeout = 10 * time.Second

func withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), timeout)
}

// testStore reads this domain's own nodes and writes one.
func testStore(d xenbus.Domain) (string, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	name, err := d.Store.Read(ctx, "name")
	if err != nil {
		return "", err
	}
	id, err := d.Store.Read(ctx, "domid")
	if err != nil {
		return "", err
	}
	if id != strconv.Itoa(int(board.DomID())) {
		return "", fmt.Errorf("xenstore reports domain %s, Xen %d", id, board.DomID())
	}
	value := strings.Repeat("0123456789", 150) // longer than the ring
	if err := d.Store.Write(ctx, "data/boardtest", value); err != nil {
		return "", err
	}
	got, err := d.Store.Read(ctx, "data/boardtest")
	if err != nil {
		return "", err
	}
	if got != value {
		return "", fmt.Errorf("wrote %d bytes, read %d different ones", len(value), len(got))
	}
	const n = 50
	start := time.Now()
	for range n {
		if _, err := d.Store.Read(ctx, "name"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("name %s, %v a request", name, time.Since(start)/n), nil
}

// testStoreBusy makes requests from many goroutines.
func testStoreBusy(d xenbus.Domain) (string, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	const writers, writes = 8, 10
	result := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range writes {
				path := fmt.Sprintf("data/boardtest-%d", w)
				value := strings.Repeat(strconv.Itoa(i), 500)
				if err := d.Store.Write(ctx, path, value); err != nil {
					result <- err
					return
				}
				if got, err := d.Store.Read(ctx, path); err != nil || got != value {
					result <- fmt.Errorf("%s: %w, %d bytes", path, err, len(got))
					return
				}
			}
			result <- d.Store.Remove(ctx, fmt.Sprintf("data/boardtest-%d", w))
		}()
	}
	for range writers {
		if err := <-result; err != nil {
			return "", err
		}
	}
	return "", nil
}

// testWatch waits for a change that it makes itself.
func testWatch(d xenbus.Domain) (string, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	w, err := d.Store.Watch(ctx, "data/boardtest")
	if err != nil {
		return "", err
	}
	defer w.Stop(ctx)
	for i := range 2 { // the first is sent when the watch is set
		select {
		case <-w.C():
		case <-ctx.Done():
			return "", fmt.Errorf("event %d: %w", i, ctx.Err())
		}
		if i == 0 {
			if err := d.Store.Remove(ctx, "data/boardtest"); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}
