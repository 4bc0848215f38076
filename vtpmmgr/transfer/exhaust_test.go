package transfer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/bits"
	"testing"
	"time"
)

// TestExhaustive goes through all that can happen to one vTPM between two managers within
// bounds: there, back and there again, with offers that come to nothing. Without -short the
// vTPM commits in between too.
func TestExhaustive(t *testing.T) {
	all := []bounds{{100, [2]int32{4, 4}, 3}, {100, [2]int32{5, 7}, 1}}
	if !testing.Short() {
		all = append(all, bounds{100, [2]int32{5, 7}, 2})
	}
	for _, b := range all {
		s := newSearch(nil)
		start := time.Now()
		depth, whole, err := s.run(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.messages {
			if bytes.Contains(m, secret()) {
				t.Errorf("a message of kind %d has the state's key in it", m[0])
			}
		}
		moves := 0
		for w := range s.seen {
			moves = max(moves, bits.OnesCount64(w.lived))
		}
		t.Logf("%d worlds to depth %d, all within the bounds: %v; up to %d moves; %d steps, %d states of managers, %d messages, in %v",
			len(s.seen), depth, whole, moves, s.steps, len(s.locals), len(s.messages), time.Since(start).Round(time.Millisecond))
		if moves < 2 || !whole && depth < b.depth {
			t.Errorf("the search is smaller than it should be")
		}
	}
}

// TestOldDiskDoesNothing: a manager whose disk is any of its old ones does nothing at all.
func TestOldDiskDoesNothing(t *testing.T) {
	s := newSearch(nil)
	if _, _, err := s.run(bounds{100, [2]int32{4, 4}, 1}); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for at, now := range s.locals {
		for past, old := range s.locals {
			if s.index[at] != s.index[past] || old.disk == now.disk {
				continue
			}
			p := play(now, s.index[at], 0, nil)
			p.disk.state, p.disk.anchor = old.disk, sha256.Sum256([]byte(now.disk))
			for o := opRequest; o <= opAgainTarget; o++ {
				var in []byte
				for _, m := range s.messages {
					if o != opRequest && o < opAgainSource && opsOf(m)[0] == o {
						in = m
					}
				}
				if out, err := p.do(o, in); !errors.Is(err, errOld) || len(out) != 0 || p.disk.stores != 0 {
					t.Fatalf("op %d with an old disk: %v, %d bytes", o, err, len(out))
				}
				tried++
			}
		}
	}
	t.Logf("%d requests of managers with an old disk were refused", tried)
}
