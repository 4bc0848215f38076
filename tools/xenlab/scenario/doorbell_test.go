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

// TestXenDoorbell has a guest that is measured before it runs, with a TPM 2.0 that its
// stock kernel finds by itself.
func TestXenDoorbell(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	n := 5
	if s := os.Getenv("STUBTPM_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STUBTPM_KILLS: %v", err)
		}
	}
	s := NewStack(machine(t, "doorbell", lab.Options{Files: images.Files(), Encryption: true,
		GuestFiles: map[string]string{abuseCommand: ringabuse}}))
	d, err := NewDoorbell(ctx, &testReport{t}, s)
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return d.Device(ctx, g) },
		func() error { return d.Measured(ctx, g) },
		func() error { return d.IMA(ctx, g) },
		func() (err error) { g, err = d.Encrypted(ctx, g); return err },
		func() error { return d.Hostile(ctx, g, time.Minute) },
		func() error { return d.Life(ctx, g, n) },
		func() error { return d.end(ctx) },
		func() error { return d.Processors(ctx) },
		func() error { return d.StartTimes(ctx) },
		func() error { return d.Around(ctx) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}
