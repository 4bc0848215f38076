package doorbell

import (
	"fmt"
	"testing"
	"time"
)

// killed ends a process at each of its accesses to a guest, at least so many,
// and never, and has another process take over. The guest then runs, and check tells what else
// must hold.
func killed(t *testing.T, least int, build func(t *testing.T) *world, check func(t *testing.T, w *world)) {
	w := build(t)
	const many = 1000
	_, stop := w.daemon(many)
	w.toolstack()
	w.await(vtpmDom)
	stop()
	accesses := many - w.machine.left
	if accesses < least {
		t.Fatalf("%d accesses", accesses)
	}
	for left := range accesses + 1 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			t.Parallel()
			w := build(t)
			xl := w.killAt(left)
			w.mu.Lock()
			w.log = nil
			w.mu.Unlock()
			w.daemon(-1)
			w.awaitRun(xl)
			w.await(vtpmDom)
			check(t, w)
		})
	}
}

// killAt runs a process that ends after a number of accesses to the guest, or serves it, and
// returns once it has ended. The channel is closed when the toolstack has gone on.
func (w *world) killAt(left int) (xl <-chan struct{}) {
	w.t.Helper()
	done := make(chan struct{})
	go func() { w.toolstack(); close(done) }()
	ended, stop := w.daemon(left)
	w.served(vtpmDom, ended)
	stop()
	return done
}

// awaitRun waits until the toolstack has gone on, and the guest runs.
func (w *world) awaitRun(xl <-chan struct{}) {
	w.t.Helper()
	select {
	case <-xl:
	case <-w.ctx.Done():
		w.t.Fatalf("xl still waits: %q", w.said())
	}
	for w.machine.notRun() == nil && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if w.machine.notRun() == nil {
		w.t.Fatalf("the guest does not run: %q", w.said())
	}
}
