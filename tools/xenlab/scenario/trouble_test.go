package scenario

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// long reports whether STUBTPM_LONG is set, for tests that take too long for every run.
func long() bool { return os.Getenv("STUBTPM_LONG") != "" }

// How long disks stall. With STUBTPM_LONG it is longer than a disk's driver waits
// before it reconnects.
const (
	stallTime = 15 * time.Second
	longStall = 90 * time.Second
)

// TestXenTrouble saves domains that cannot be saved, and a guest, stalls disks, lets a
// guest flood its TPM and the manager, and undefines the manager's NV indices.
func TestXenTrouble(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	stall := stallTime
	if long() {
		stall = longStall
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	s := NewStack(machine(t, "trouble", lab.Options{Files: images.Files(), GuestFiles: map[string]string{abuseCommand: ringabuse}}))
	s.Stallable = true
	if err := s.StartManager(ctx); err != nil {
		t.Fatal(err)
	}
	p, err := s.NewPair(ctx, &testReport{t}, "01")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		run  func(ctx context.Context, r Report) error
	}{
		{"save", func(ctx context.Context, r Report) error { return s.Save(ctx, r, p) }},
		{"stalled manager", func(ctx context.Context, r Report) error { return s.StallManager(ctx, r, p, stall) }},
		{"stalled vTPM", func(ctx context.Context, r Report) error { return s.StallVTPM(ctx, r, p, stall) }},
		{"flood", func(ctx context.Context, r Report) error { return s.Flood(ctx, r, p, 100) }},
		{"saved guest", func(ctx context.Context, r Report) error { return s.SavedGuest(ctx, r, p) }},
		{"undefined index", func(ctx context.Context, r Report) error { return s.Index(ctx, r, p) }},
	} {
		var err error
		t.Run(step.name, func(t *testing.T) {
			start, r := time.Now(), &testReport{t}
			p.r, p.guest.r = r, r
			if err = step.run(ctx, r); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s took %.0f s", step.name, time.Since(start).Seconds())
		})
		if err != nil {
			return // the next step needs an intact pair
		}
	}
}
