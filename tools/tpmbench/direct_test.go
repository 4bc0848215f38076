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

// TestVersion185: each command of version 1.85 is measured.
func TestVersion185(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run([]string{"-185", "-n", "2"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SignSequenceStart", "VerifySequenceStart", "SignDigest", "VerifyDigestSignature", "Encapsulate", "Decapsulate",
		"ECDSA P-256", "RSA-2048", "ML-DSA-87", "ML-KEM-1024"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no row with %s", want)
		}
	}
}
