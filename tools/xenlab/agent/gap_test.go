package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestGap: it goes on until the file is there, and the longest gap is at least the pause.
func TestGap(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "end")
	var out bytes.Buffer
	done := make(chan error)
	go func() { done <- gap("2ms", file, &out) }()
	select {
	case err := <-done:
		t.Fatalf("ended without the file: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var us, looks, at int64
	if _, err := fmt.Sscanf(out.String(), "gap %d us of %d looks, the last at %d ns\n", &us, &looks, &at); err != nil || us < 2000 || looks < 1 || time.Since(time.Unix(0, at)) > time.Minute {
		t.Errorf("%q: %v", out.String(), err)
	}
}
