//go:build tamago

package main

import (
	"fmt"
	"runtime"
	"time"

	"stubtpm/board/pvh"
)

// testBigAllocations repeatedly allocates a sixth of the heap at once, and checks
// that it is zero.
func testBigAllocations() error {
	size := int(pvh.HeapSize() / 6)
	for round := range 6 {
		b := make([]byte, size)
		for i := range b {
			if b[i] != 0 {
				return fmt.Errorf("round %d: byte %d of a new slice is %#x", round, i, b[i])
			}
		}
		for i := 0; i < len(b); i += 512 {
			b[i] = 0xa5
		}
		runtime.KeepAlive(b)
	}
	return nil
}

// tree returns a balanced tree with values 1 to n in order.
func tree(lo, hi int) *node {
	if lo > hi {
		return nil
	}
	mid := (lo + hi) / 2
	return &node{left: tree(lo, mid-1), right: tree(mid+1, hi), value: mid}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.left.sum() + n.value + n.right.sum()
}

// testGC keeps trees, maps and slices alive while it makes garbage, and checks
// their contents.
func testGC(d time.Duration) error {
	const n = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	keep := make([]*node, 8)
	table := make(map[int][]byte)
	end := time.Now().Add(d)
	rounds := 0
	for ; time.Now().Before(end); rounds++ {
		i := rounds % len(keep)
		if t := keep[i]; t != nil {
			if got := t.sum(); got != n*(n+1)/2 {
				return fmt.Errorf("round %d: sum of a tree is %d", rounds, got)
			}
		}
		keep[i] = tree(1, n)
		for k := range 200 {
			key := rounds*37 + k
			b := make([]byte, 100+key%2000)
			b[0], b[len(b)-1] = byte(key), byte(key)
			table[key%1000] = b
			if old, ok := table[(key+500)%1000]; ok && old[0] != old[len(old)-1] {
				return fmt.Errorf("round %d: a slice has changed", rounds)
			}
		}
		if rounds%10 == 0 {
			go func() { _ = tree(1, 100).sum() }()
		}
	}
	runtime.ReadMemStats(&after)
	cycles := after.NumGC - before.NumGC
	fmt.Printf("     %d rounds, %d collections, %d KiB in all, pauses of %v on average\n", rounds, cycles,
		after.Sys>>10, time.Duration((after.PauseTotalNs-before.PauseTotalNs)/uint64(max(cycles, 1))))
	if cycles < 3 {
		return fmt.Errorf("%d collections in %d rounds", cycles, rounds)
	}
	return nil
}
