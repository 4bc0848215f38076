package scenario

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenMeasured measures a domain before it runs, and then starts STUBTPM_VTPMS
// vTPMs (0 by default). For more than about 100, xenstored must allow their manager
// more nodes and watches.
func TestXenMeasured(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	n := 0
	if s := os.Getenv("STUBTPM_VTPMS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STUBTPM_VTPMS: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	opt := lab.Options{Files: images.Files(), Memory: 1536 + 40*n, Dom0Memory: 640 + 4*n}
	if n > 80 {
		opt.Xenstored = []string{"--entry-nb", "100000", "--watch-nb", "10000"}
	}
	s := NewStack(machine(t, "measured", opt))
	if err := s.StartManager(ctx); err != nil {
		t.Fatal(err)
	}
	r := &testReport{t}
	if err := s.Enroll(ctx, vtpmUUID); err != nil {
		t.Fatal(err)
	}
	if err := s.Measured(ctx, r, vtpmName, vtpmUUID); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return
	}
	if err := s.Density(ctx, r, n); err != nil {
		t.Fatal(err)
	}
}
