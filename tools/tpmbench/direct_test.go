package main

import (
	"strings"
	"testing"
	"time"
)

// BenchmarkDirect runs each case on a device in this process; us/command leaves
// out what the client computes.
func BenchmarkDirect(b *testing.B) {
	for _, c := range cases() {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			s, err := inProcess()
			if err != nil {
				b.Fatal(err)
			}
			op, clean, err := c.setup(s.conn)
			if clean != nil {
				defer clean()
			}
			if err != nil {
				b.Fatal(err)
			}
			var sum time.Duration
			for b.Loop() {
				d, err := op()
				if err != nil {
					b.Fatal(err)
				}
				sum += d
			}
			b.ReportMetric(float64(sum.Nanoseconds())/1e3/float64(b.N), "us/command")
		})
	}
}
