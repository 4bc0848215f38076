package wire

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// TestNothingLost has a console that tears lines: all events come, once and in
// order.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	const events = 1000
	r := rand.New(rand.NewPCG(1, 2))
	events1, console := io.Pipe()
	requests, back := io.Pipe()
	s := NewSender(NewWriter(writer(func(b []byte) (int, error) {
		if r.IntN(16) == 0 { // one goroutine at a time writes
			b = append(append([]byte{}, b[:len(b)/2]...), "[   12.3] rcu: a stall\n"...)
		}
		_, err := console.Write(b)
		return len(b), err
	})))
	go Read(requests, func(q Request) {
		switch q.Op {
		case "hello":
			s.Hello()
		case "seen":
			s.Seen(q.N, q.Lost)
		}
	}, nil)
	go func() {
		for i := range events {
			s.Send(Event{ID: uint32(i), Op: "out"})
		}
	}()
	in := make(chan Event)
	go Read(events1, func(e Event) { in <- e }, nil)
	out := NewWriter(back)
	var rec Receiver
	ask := func(q *Request) {
		if q != nil {
			go out.Send(*q) // as a console, which takes what is sent while it is read
		}
	}
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	first := uint32(0)
	for n := -1; n < 0 || n < events-int(first); {
		select {
		case e := <-in:
			next, q := rec.Take(e)
			ask(q)
			switch {
			case !next:
			case e.Op == "hello":
				if n < 0 {
					n, first = 0, uint32(e.N)
				}
			case e.ID != first+uint32(n):
				t.Fatalf("event %d came, want %d", e.ID, first+uint32(n))
			default:
				n++
			}
		case <-tick.C:
			if n < 0 {
				ask(&Request{Op: "hello"})
			} else if q := rec.Remind(); q != nil {
				q.Lost = true // without the second of patience
				ask(q)
			}
		case <-limit:
			t.Fatalf("%d of %d events came", n, events)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
