package tpmif

import (
	"context"
	"time"
)

// A frontend connects and closes in a handful of steps. One that changes its
// state all the time gets so many at once, and then one each paceRest: each step
// costs this domain and the store several messages.
const (
	paceBurst = 32
	paceRest  = 200 * time.Millisecond
)

// pace is a token bucket: it holds back what is done too often.
type pace struct {
	used int       // steps taken and not forgiven yet
	last time.Time // when used was computed
}

// delay notes a step at now, and returns how long it must wait.
func (p *pace) delay(now time.Time) time.Duration {
	forgiven := int(now.Sub(p.last) / paceRest)
	switch {
	case p.last.IsZero(), forgiven >= p.used:
		p.used, p.last = 0, now
	case forgiven > 0:
		p.used -= forgiven
		p.last = p.last.Add(time.Duration(forgiven) * paceRest)
	}
	if p.used < paceBurst {
		p.used++
		return 0
	}
	// The next step is due when one of those taken is forgiven.
	p.last = p.last.Add(paceRest)
	return p.last.Sub(now)
}

// wait returns when the next step may be taken, or when ctx ends.
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
