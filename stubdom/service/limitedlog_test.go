package service

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
)

// TestQuiet: however many lines peers cause, the log has a bounded number, each
// kind and peer has lines of its own, and what was left out is counted.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var lines []string
	q := newLimitedLog(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) })
	now := time.Unix(1, 0)
	q.now = func() time.Time { return now }
	noisy, other := tpmif.Peer{Domain: 7}, tpmif.Peer{Domain: 8}
	const hour = 3600
	for s := range hour {
		now = time.Unix(1+int64(s), 0)
		for i := range 100 {
			q.Log("tpmif: %v: state %q", noisy, fmt.Sprint(i))
		}
		if s == hour/2 {
			q.Log("tpmif: %v: state %q", other, "99")
		}
	}
	if most := logBurst + hour/int(logInterval/time.Second) + 2; len(lines) > most {
		t.Errorf("%d lines in an hour, want at most %d", len(lines), most)
	}
	if all := strings.Join(lines, "\n"); !strings.Contains(all, "dom8/0") {
		t.Error("a quiet peer's line was lost among a noisy one's")
	} else if !strings.Contains(all, "similar lines were dropped") {
		t.Error("nothing says that lines were left out")
	}
	for i := range 100_000 {
		q.Log("serving domain %d", xen.DomID(i%32752))
	}
	if len(q.kinds) > maxLogKinds+1 {
		t.Errorf("%d kinds are kept", len(q.kinds))
	}
}

// counted counts lines.
type counted struct{ n atomic.Int64 }

func (c *counted) log(string, ...any) { c.n.Add(1) }

func (c *counted) count() int64 { return c.n.Load() }
