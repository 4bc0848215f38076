package ledger

import (
	"fmt"
	"testing"

	"stubtpm/drivers/block/blocktest"
)

// BenchmarkOpen is the start with so many items.
func BenchmarkOpen(b *testing.B) {
	for _, items := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			d, c := blocktest.NewMem(16<<20), &chip{}
			s, err := Format(quiet(d, c, Mode{}))
			if err != nil {
				b.Fatal(err)
			}
			var all []Change
			for n := range items {
				all = append(all, Change{id(n), body(n, 1)})
			}
			commit(b, s, all...)
			b.ReportAllocs()
			for b.Loop() {
				if s, err = Open(quiet(d, c, Mode{})); err != nil {
					b.Fatal(err)
				}
			}
			if len(contents(s)) != items {
				b.Fatal("items are missing")
			}
		})
	}
}

// BenchmarkCommit is one change with so many items there, without disk and
// hardware TPM.
func BenchmarkCommit(b *testing.B) {
	for _, items := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			d, c := blocktest.NewMem(16<<20), &chip{}
			s, err := Format(quiet(d, c, Mode{}))
			if err != nil {
				b.Fatal(err)
			}
			var all []Change
			for n := range items {
				all = append(all, Change{id(n), body(n, 1)})
			}
			commit(b, s, all...)
			v := 0
			for b.Loop() {
				v++
				commit(b, s, Change{id(v % items), body(1, v)})
			}
		})
	}
}
