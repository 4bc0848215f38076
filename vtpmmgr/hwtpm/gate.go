package hwtpm

import "sync"

// A gate lets one use of the TPM in at a time: those of the ledger before
// others, and else in the order in which they came. It waits on channels, so that
// tests can run it with a clock of their own.
type gate struct {
	mu           sync.Mutex
	busy         bool
	first, later []chan struct{} // who waits
}

// Lock waits for the turn of a use that commits wait for.
func (g *gate) Lock() { g.enter(&g.first) }

// lockLater waits for the turn of any other use.
func (g *gate) lockLater() { g.enter(&g.later) }

func (g *gate) enter(queue *[]chan struct{}) {
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return
	}
	c := make(chan struct{})
	*queue = append(*queue, c)
	g.mu.Unlock()
	<-c
}

// Unlock lets the next one in.
func (g *gate) Unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, queue := range []*[]chan struct{}{&g.first, &g.later} {
		if q := *queue; len(q) > 0 {
			*queue = q[1:]
			close(q[0])
			return
		}
	}
	g.busy = false
}
