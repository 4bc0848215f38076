package vtpmmgr

import "sync"

// turns let one change of a vTPM's record be under way at a time: a commit of the
// vTPM, or an order about it. Orders go first, so that a vTPM that commits all
// the time cannot keep an administrator from suspending or destroying it.
type turns struct {
	mu sync.Mutex
	of map[UUID]*turn
}

// A turn is what is known of one vTPM while somebody has or wants its turn.
type turn struct {
	taken  bool
	orders int // waiting
	users  int // having or waiting
	free   sync.Cond
}

// take waits for the turn and returns a function that ends it.
func (t *turns) take(u UUID, order bool) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.of[u]
	if w == nil {
		w = &turn{free: sync.Cond{L: &t.mu}}
		if t.of == nil {
			t.of = map[UUID]*turn{}
		}
		t.of[u] = w
	}
	w.users++
	if order {
		w.orders++
	}
	for w.taken || !order && w.orders > 0 {
		w.free.Wait()
	}
	if order {
		w.orders--
	}
	w.taken = true
	return func() { t.end(u, w) }
}

func (t *turns) end(u UUID, w *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.taken = false
	if w.users--; w.users == 0 {
		delete(t.of, u)
	}
	w.free.Broadcast()
}
