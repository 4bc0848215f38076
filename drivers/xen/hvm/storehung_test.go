package hvm

import (
	"errors"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// inTime runs f and fails the test if f goes on for too long.
func inTime(t *testing.T, what string, f func() (int, error)) (n int, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = f()
	}()
	select {
	case <-done:
		return n, err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not end", what)
		return 0, nil
	}
}

// TestStoreRingHung has stores that do not take what is written: one that is
// silent, one that sends events all the same, one that takes a byte now and then.
// A writer holds up all other users of the store, so it must end; and as part of
// a message is in the ring, nobody may go on behind it.
func TestStoreRingHung(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		noisy, trickle bool
	}{{name: "silent"}, {name: "noisy", noisy: true}, {name: "trickle", noisy: true, trickle: true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			page := xen.NewPage()
			b := &bell{c: make(chan struct{}, 1), notify: func() {}}
			r := NewStoreRing(page, b)
			r.timeout = 100 * time.Millisecond
			stop := make(chan struct{})
			var store sync.WaitGroup
			if c.noisy {
				store.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond):
						}
						if c.trickle {
							page.Store32(abi.StoreReqCons, page.Load32(abi.StoreReqCons)+1)
						}
						select {
						case b.c <- struct{}{}:
						default:
						}
					}
				})
			}
			n, err := inTime(t, "Write", func() (int, error) { return r.Write(make([]byte, 4*abi.StoreRingSize)) })
			if !errors.Is(err, ErrStoreHung) || n < abi.StoreRingSize || n >= 4*abi.StoreRingSize {
				t.Errorf("wrote %d bytes: %v", n, err)
			}
			if n, err = inTime(t, "a second Write", func() (int, error) { return r.Write(make([]byte, 1)) }); !errors.Is(err, ErrStoreHung) || n != 0 {
				t.Errorf("a second Write: %d, %v", n, err)
			}
			if _, err = inTime(t, "Read", func() (int, error) { return r.Read(make([]byte, 1)) }); !errors.Is(err, ErrStoreHung) {
				t.Errorf("Read: %v", err)
			}
			close(stop)
			store.Wait()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Close(); !errors.Is(err, xen.ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
		})
	}
}

// TestStoreRingLate takes a message just as time is up: the room counts, not the
// clock.
func TestStoreRingLate(t *testing.T) {
	t.Parallel()
	page := xen.NewPage()
	page.Store32(abi.StoreReqProd, abi.StoreRingSize) // full
	r := NewStoreRing(page, &bell{c: make(chan struct{}, 1), notify: func() {}})
	defer r.Close()
	r.timeout = 50 * time.Millisecond
	// Room is made without an event, so that only the timer wakes the writer.
	time.AfterFunc(5*time.Millisecond, func() { page.Store32(abi.StoreReqCons, abi.StoreRingSize) })
	if n, err := inTime(t, "Write", func() (int, error) { return r.Write(make([]byte, 10)) }); n != 10 || err != nil {
		t.Errorf("wrote %d bytes: %v", n, err)
	}
}
