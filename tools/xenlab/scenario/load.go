package scenario

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A loadLog records the output of a guest's load (tools/xenlab/agent, load): the results
// of its TPM commands. It is kept outside all domains that are destroyed.
type loadLog struct {
	name string

	mu     sync.Mutex
	guest  *lab.Guest
	proc   *lab.Proc
	part   string // of a line
	count  uint64 // last one answered
	wrote  uint64
	number uint64 // of answers in all
	since  uint64 // of answers since mark or found
	found  int    // times that the TPM was opened since mark
	lost   string // last reason
	wrong  error
	lines  []string // the last ones, for messages
}

func (l *loadLog) start(g *lab.Guest, pause time.Duration) error {
	l.mu.Lock()
	l.guest, l.part = g, ""
	l.mu.Unlock()
	p, err := g.Start(false, l.add, "/init", "load", pause.String())
	l.mu.Lock()
	l.proc = p
	l.mu.Unlock()
	return err
}

func (l *loadLog) agent() *lab.Guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guest
}

// stop ends the load in the guest.
func (l *loadLog) stop(ctx context.Context) error {
	l.mu.Lock()
	p := l.proc
	l.mu.Unlock()
	if err := p.Kill(); err != nil {
		return err
	}
	_, _, err := p.Wait(ctx)
	return err
}

func (l *loadLog) add(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part += string(b)
	for {
		line, rest, ok := strings.Cut(l.part, "\n")
		if !ok {
			return
		}
		l.part = rest
		l.line(line)
	}
}

// line processes one line, and records an error if it contradicts an earlier one.
//
// Preconditions: mu is held.
func (l *loadLog) line(line string) {
	l.lines = append(l.lines, line)
	if len(l.lines) > 12 {
		l.lines = l.lines[1:]
	}
	var a, b uint64
	fail := func(what string) {
		if l.wrong == nil {
			l.wrong = fmt.Errorf("%s: %s: count %d and %d written were answered; it says:\n%s", l.name, what, l.count, l.wrote, strings.Join(l.lines, "\n"))
		}
	}
	switch {
	case scan(line, "found %d %d", &a, &b):
		if a < l.count || b < l.wrote {
			fail("what was answered is lost")
		}
		// A value is written only after the counter was incremented.
		if b > a {
			fail("written before it was counted")
		}
		l.count, l.wrote = a, b
		l.found++
		l.since = 0
	case strings.Contains(line, " after "):
		fail("the counter did not go on")
	case scan(line, "count %d", &a):
		if l.count > 0 && a != l.count+1 {
			fail("the counter jumped")
		}
		l.count = a
		l.number++
		l.since++
	case scan(line, "wrote %d", &a):
		l.wrote = a
		l.number++
		l.since++
	case strings.HasPrefix(line, "lost "):
		l.lost = line
	default:
		fail("it says something else")
	}
}

func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}

// mark resets the counts.
func (l *loadLog) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.found, l.lost = 0, 0, ""
}

func (l *loadLog) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}

func (l *loadLog) answers() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// await waits for a number of further responses.
func (l *loadLog) await(ctx context.Context, answers uint64) error {
	start := l.answers()
	return l.until(ctx, func() bool { return l.number >= start+answers })
}

// awaitFound waits until the guest has opened its TPM since mark.
func (l *loadLog) awaitFound(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return l.until(ctx, func() bool { return l.found > 0 })
}

func (l *loadLog) until(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		ok, wrong, lines := done(), l.wrong, strings.Join(l.lines, "\n")
		l.mu.Unlock()
		if wrong != nil {
			return wrong
		}
		if ok {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no answers: %w; it said:\n%s", ctx.Err(), lines)
		}
	}
}

// lostNothing reports whether no command failed since mark.
func (l *loadLog) lostNothing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost == "" && l.wrong == nil
}

func (l *loadLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
