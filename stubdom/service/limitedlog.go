package service

import (
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr"
)

// Limits of the log. The console is slow and kept on dom0's disk, so a peer must not
// decide how many lines are written.
const (
	logBurst    = 10               // lines of one kind and peer in a burst
	logInterval = 10 * time.Second // then one line per interval
	maxLogKinds = 1024             // kinds that are counted separately
)

// A limitedLog limits the rate of lines of one kind about one peer. A kind is a format
// string.
type limitedLog struct {
	log func(format string, args ...any)
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*lineCount
}

// A lineCount counts the lines of one kind.
type lineCount struct {
	used    int
	dropped int
	last    time.Time // when used was computed
}

func newLimitedLog(log func(format string, args ...any)) *limitedLog {
	return &limitedLog{log: log, now: time.Now, kinds: map[string]*lineCount{}}
}

// Log writes a line, or counts it as dropped.
func (q *limitedLog) Log(format string, args ...any) {
	write, dropped := q.allow(kindOf(format, args))
	if !write {
		return
	}
	if dropped > 0 {
		q.log("%s (%d similar lines were dropped)", fmt.Sprintf(format, args...), dropped)
		return
	}
	q.log(format, args...)
}

// kindOf returns the kind of a line: its format, and the peer or vTPM that it is about.
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

// allow reports whether a line may be written, and how many were dropped before it.
func (q *limitedLog) allow(name string) (write bool, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	k := q.kinds[name]
	if k == nil {
		q.evict(now)
		if len(q.kinds) >= maxLogKinds {
			// Too many kinds at once: the rest share one.
			name = ""
			k = q.kinds[name]
		}
		if k == nil {
			k = &lineCount{last: now}
			q.kinds[name] = k
		}
	}
	k.refill(now)
	if k.used >= logBurst {
		k.dropped++
		return false, 0
	}
	k.used++
	dropped, k.dropped = k.dropped, 0
	return true, dropped
}

// refill allows one more line for each interval that passed.
func (k *lineCount) refill(now time.Time) {
	n := int(now.Sub(k.last) / logInterval)
	if n >= k.used {
		k.used, k.last = 0, now
		return
	}
	k.used -= n
	k.last = k.last.Add(time.Duration(n) * logInterval)
}

// evict forgets the kinds whose burst is fully available again, if there are too many.
func (q *limitedLog) evict(now time.Time) {
	if len(q.kinds) < maxLogKinds {
		return
	}
	for name, k := range q.kinds {
		if k.refill(now); k.used == 0 {
			delete(q.kinds, name)
		}
	}
}
