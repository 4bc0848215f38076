package stream

import (
	"fmt"
	"slices"
	"strings"

	"stubtpm/vtpm/tcg"
)

// A Divergence is a difference that Differences does not list.
type Divergence struct {
	Seed   uint64 // of its episode
	Step   int    // number of the command in the episode, from 1
	What   string
	Sent   pair[[]byte]
	Got    pair[[]byte]
	Detail string
}

func (d *Divergence) String() string {
	return fmt.Sprintf("seed %d step %d: %s\n  ours  > %x\n        < %x\n  other > %x\n        < %x", d.Seed, d.Step, d.What, d.Sent[0], d.Got[0], d.Sent[1], d.Got[1])
}

// A Result is the result of a run.
type Result struct {
	Commands    int
	Succeeded   int
	Codes       map[tcg.TPMCC][2]int // how often each was sent, and succeeded
	RCs         map[tcg.TPMRC]int    // of the other side
	Known       map[string]int       // differences that are listed, by Difference.Name
	Divergences []*Divergence
}

// Merge adds b to a, which may be nil, and returns the sum.
func Merge(a, b *Result) *Result {
	if a == nil {
		return b
	}
	a.Commands += b.Commands
	a.Succeeded += b.Succeeded
	a.Divergences = append(a.Divergences, b.Divergences...)
	for k, v := range b.Codes {
		n := a.Codes[k]
		a.Codes[k] = [2]int{n[0] + v[0], n[1] + v[1]}
	}
	for k, v := range b.RCs {
		a.RCs[k] += v
	}
	for k, v := range b.Known {
		a.Known[k] += v
	}
	return a
}

// String returns a report of several lines.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d commands (%d codes, %d response codes), %d succeeded on both sides, %d divergences\n", r.Commands, len(r.Codes), len(r.RCs), r.Succeeded, len(r.Divergences))
	var names []string
	for n := range r.Known {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "  known: %-40s %d\n", n, r.Known[n])
	}
	groups := map[string][]*Divergence{}
	var keys []string
	for _, d := range r.Divergences {
		if groups[d.Detail] == nil {
			keys = append(keys, d.Detail)
		}
		groups[d.Detail] = append(groups[d.Detail], d)
	}
	for _, k := range keys {
		fmt.Fprintf(&b, "%d times: %s\n  first: %s\n", len(groups[k]), k, groups[k][0])
	}
	return b.String()
}
