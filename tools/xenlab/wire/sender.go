package wire

import (
	"sync"
	"time"
)

// A Sender sends events that are not lost: it numbers them, and keeps them until the other
// side has seen them. The kernel writes its messages to the same console, also into the middle
// of an event's line, and the line is then no message any more.
//
// It may be used by several goroutines.
type Sender struct {
	out *Writer

	mu   sync.Mutex
	room *sync.Cond // signalled when events were seen
	last uint64     // number of the last event
	kept []Event    // the last ones, oldest first
	sent time.Time  // when one of kept was sent last
}

const (
	// maxKept is how many events are kept. Further ones wait.
	maxKept = 512
	// patience is how long an event is on its way at most, before it counts as lost.
	patience = time.Second
)

// NewSender returns a Sender on w.
func NewSender(w *Writer) *Sender {
	s := &Sender{out: w}
	s.room = sync.NewCond(&s.mu)
	return s
}

// Hello says that the agent is there, and the number of the last event.
func (s *Sender) Hello() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Send(Event{Op: "hello", N: s.last})
}

// Send sends an event. It waits while many are on their way.
func (s *Sender) Send(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) >= maxKept {
		s.room.Wait()
	}
	s.last++
	e.N = s.last
	s.kept = append(s.kept, e)
	s.sent = time.Now()
	return s.out.Send(e)
}

// Seen says that the other side has seen all events up to the number n. The others are sent
// again if one of them is known to be lost, or all have been on their way for long.
func (s *Sender) Seen(n uint64, lost bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) > 0 && s.kept[0].N <= n {
		s.kept = s.kept[1:]
	}
	s.room.Broadcast()
	if !lost && time.Since(s.sent) < patience {
		return nil
	}
	for _, e := range s.kept {
		if err := s.out.Send(e); err != nil {
			return err
		}
		s.sent = time.Now()
	}
	return nil
}

// A Receiver puts events in order. Its zero value waits for the agent to say hello.
type Receiver struct {
	started bool
	last    uint64
	asked   bool // for what is lost, since last
	taken   int  // since the other side was told
}

// Take takes an event. It returns whether that is the next one, and the request to send
// then, or nil.
func (r *Receiver) Take(e Event) (next bool, answer *Request) {
	switch {
	case e.Op == "hello":
		if !r.started {
			r.started, r.last = true, e.N
		}
		return true, nil
	case !r.started, e.N <= r.last: // of an earlier connection, or sent again
		return false, nil
	case e.N > r.last+1:
		if r.asked {
			return false, nil
		}
		r.asked = true
		return false, r.seen()
	}
	r.last, r.asked = e.N, false
	if r.taken++; r.taken >= maxKept/8 {
		answer = r.seen()
	}
	return true, answer
}

// Remind returns the request to send now and then while events are awaited, since the last
// one may be lost. It is nil before the agent has said hello.
func (r *Receiver) Remind() *Request {
	r.asked = false
	if !r.started {
		return nil
	}
	return r.seen()
}

func (r *Receiver) seen() *Request {
	r.taken = 0
	return &Request{Op: "seen", N: r.last, Lost: r.asked}
}
