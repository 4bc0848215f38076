package tpmif

import (
	"context"
	"time"
)

// A frontend connects and closes in a handful of steps. One that changes its
// state continually gets paceBurst steps at once, and then one each paceRest,
// because each step costs this domain and xenstored several messages.
const (
	paceBurst = 32
	paceRest  = 200 * time.Millisecond
)

// pace is a token bucket that limits the rate of steps.
type pace struct {
	used int       // tokens in use
	last time.Time // when used was computed
}

// delay takes a token at the time now, and returns how long the step must wait.
func (p *pace) delay(now time.Time) time.Duration {
	refilled := int(now.Sub(p.last) / paceRest)
	switch {
	case p.last.IsZero(), refilled >= p.used:
		p.used, p.last = 0, now
	case refilled > 0:
		p.used -= refilled
		p.last = p.last.Add(time.Duration(refilled) * paceRest)
	}
	if p.used < paceBurst {
		p.used++
		return 0
	}
	// The next step is due when the next token is refilled.
	p.last = p.last.Add(paceRest)
	return p.last.Sub(now)
}

// wait waits until the next step may be taken, or until ctx ends.
func (p *pace) wait(ctx context.Context) error {
	d := p.delay(time.Now())
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
