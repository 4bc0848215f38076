package main

import (
	"testing"

	"stubtpm/tools/difftest/stream"
	"stubtpm/tools/hosted/tpmproc"
)

// ciSeed is where CI begins; other seeds are for the long run.
const ciSeed = 1000

// TestSwtpm compares 5,000 commands with Debian's swtpm.
func TestSwtpm(t *testing.T) {
	if testing.Short() {
		t.Skip("5,000 commands to two TPMs: not with -short")
	}
	swtpm, err := tpmproc.Swtpm()
	if err != nil {
		t.Skip(err)
	}
	compare(t, open(swtpm), 5000)
}

// TestSelf compares our device with another of its kind: nothing may differ,
// which is a test of the generator and its model.
func TestSelf(t *testing.T) {
	t.Parallel()
	res := compare(t, func() (stream.TPM, stream.TPM, func(), error) {
		a, err := newDevice()
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := newDevice()
		return b, a, func() {}, err
	}, 1500)
	if len(res.Known) != 0 {
		t.Errorf("differences to itself: %v", res.Known)
	}
	if res.Succeeded < res.Commands/2 {
		t.Errorf("only %d of %d commands succeeded", res.Succeeded, res.Commands)
	}
}

func compare(t *testing.T, open func() (stream.TPM, stream.TPM, func(), error), n int) *stream.Result {
	t.Helper()
	res, err := stream.Run(stream.Options{Seed: ciSeed, Commands: n, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(res)
	if len(res.Divergences) > 0 {
		t.Errorf("%d divergences", len(res.Divergences))
	}
	return res
}

// TestDifferences checks that each has a paragraph, and a reason if it is
// decided.
func TestDifferences(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, d := range stream.Differences {
		if d.Name == "" || d.Paragraph == "" || (d.Reason == "") != d.Open || names[d.Name] {
			t.Errorf("%+v", d)
		}
		names[d.Name] = true
	}
}
