package service

import (
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr"
)

// Limits of the log. The console is slow, and what it shows is kept on dom0's
// disk, so no peer may decide how many lines there are.
const (
	quietBurst = 10               // lines of one kind and peer at once
	quietRest  = 10 * time.Second // then one each
	quietKinds = 1024             // kinds that are told apart
)

// A quiet log writes lines of one kind, about one peer, at a limited rate. A
// kind is a format.
type quiet struct {
	log func(format string, args ...any)
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*kind
}

// A kind is how often lines of one kind were written.
type kind struct {
	used    int
	dropped int
	last    time.Time // when used was computed
}

func newQuiet(log func(format string, args ...any)) *quiet {
	return &quiet{log: log, now: time.Now, kinds: map[string]*kind{}}
}

// Log writes a line, or counts it as left out.
func (q *quiet) Log(format string, args ...any) {
	write, dropped := q.allow(kindOf(format, args))
	if !write {
		return
	}
	if dropped > 0 {
		q.log("%s (and %d lines of this kind that were left out)", fmt.Sprintf(format, args...), dropped)
		return
	}
	q.log(format, args...)
}

// kindOf tells lines apart by their format, and by the peer or vTPM that they are
// about.
func kindOf(format string, args []any) string {
	for _, a := range args {
		switch a := a.(type) {
		case tpmif.Peer:
			return fmt.Sprintf("%s/%d", format, a.Domain)
		case xen.DomID:
			return fmt.Sprintf("%s/%d", format, a)
		case vtpmmgr.UUID:
			return fmt.Sprintf("%s/%v", format, a)
		}
	}
	return format
}

func (q *quiet) allow(name string) (write bool, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	k := q.kinds[name]
	if k == nil {
		q.forget(now)
		if len(q.kinds) >= quietKinds {
			// That many peers are noisy at once: they share one kind.
			name = ""
			k = q.kinds[name]
		}
		if k == nil {
			k = &kind{last: now}
			q.kinds[name] = k
		}
	}
	k.forgive(now)
	if k.used >= quietBurst {
		k.dropped++
		return false, 0
	}
	k.used++
	dropped, k.dropped = k.dropped, 0
	return true, dropped
}

func (k *kind) forgive(now time.Time) {
	n := int(now.Sub(k.last) / quietRest)
	if n >= k.used {
		k.used, k.last = 0, now
		return
	}
	k.used -= n
	k.last = k.last.Add(time.Duration(n) * quietRest)
}

// forget drops kinds that nothing is owed to.
func (q *quiet) forget(now time.Time) {
	if len(q.kinds) < quietKinds {
		return
	}
	for name, k := range q.kinds {
		if k.forgive(now); k.used == 0 {
			delete(q.kinds, name)
		}
	}
}
