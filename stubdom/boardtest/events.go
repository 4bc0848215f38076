//go:build tamago

package main

import (
	"errors"
	"fmt"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
)

var errLost = errors.New("an event was lost")

func await(c xen.Channel) error {
	select {
	case _, ok := <-c.C():
		if !ok {
			return errors.New("the channel was closed")
		}
		return nil
	case <-time.After(timeout):
		return errLost
	}
}

// pair opens two ports of this domain that are connected to each other.
func pair(e xen.Events) (a, b xen.Channel, err error) {
	a, err = e.AllocUnbound(board.DomID())
	if err != nil {
		return nil, nil, err
	}
	b, err = e.BindInterdomain(board.DomID(), a.Port())
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// testLoopback measures the round trip of an event.
func testLoopback(d xenbus.Domain) (string, error) {
	a, b, err := pair(d.Events)
	if err != nil {
		return "", err
	}
	defer a.Close()
	defer b.Close()
	// Binding may have raised an event already.
	time.Sleep(10 * time.Millisecond)
	for _, c := range []xen.Channel{a, b} {
		select {
		case <-c.C():
		default:
		}
	}
	const n = 2000
	result := make(chan error, 1)
	go func() {
		for range n {
			if err := await(b); err != nil {
				result <- fmt.Errorf("b: %w", err)
				return
			}
			if err := b.Notify(); err != nil {
				result <- err
				return
			}
		}
		result <- nil
	}()
	start := time.Now()
	for range n {
		if err := a.Notify(); err != nil {
			return "", err
		}
		if err := await(a); err != nil {
			return "", fmt.Errorf("a: %w", err)
		}
	}
	return fmt.Sprintf("round trip of %v", time.Since(start)/n), <-result
}

// testPorts opens ports in several words of the event bitmap, and raises all.
func testPorts(d xenbus.Domain) (string, error) {
	const n = 150
	var as, bs []xen.Channel
	defer func() {
		for i := range as {
			as[i].Close()
			bs[i].Close()
		}
	}()
	for range n {
		a, b, err := pair(d.Events)
		if err != nil {
			return "", err
		}
		as, bs = append(as, a), append(bs, b)
	}
	for round := range 3 {
		for _, a := range as {
			if err := a.Notify(); err != nil {
				return "", err
			}
		}
		for i, b := range bs {
			if err := await(b); err != nil {
				return "", fmt.Errorf("round %d, pair %d: %w", round, i, err)
			}
		}
	}
	return fmt.Sprintf("highest port %d", bs[n-1].Port()), nil
}

// testClosed uses a port after Close.
func testClosed(d xenbus.Domain) (string, error) {
	a, b, err := pair(d.Events)
	if err != nil {
		return "", err
	}
	defer b.Close()
	time.Sleep(10 * time.Millisecond)
	if err := a.Close(); err != nil {
		return "", err
	}
	for range a.C() { // must end
	}
	if err := a.Notify(); !errors.Is(err, xen.ErrClosed) {
		return "", fmt.Errorf("notify by a closed port: %v", err)
	}
	if err := a.Close(); !errors.Is(err, xen.ErrClosed) {
		return "", fmt.Errorf("second close: %v", err)
	}
	if _, err := d.Events.BindInterdomain(board.DomID(), 4095); err == nil {
		return "", errors.New("an unopened port could be bound")
	}
	return "", nil
}
