package scenario

import (
	"context"
	"path/filepath"
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
	s := NewStack(machine(t, "doorbell", lab.Options{Files: images.Files(), Encryption: true}))
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
		func() error { return d.Measured(ctx, g, "") },
		func() error { return d.IMA(ctx, g) },
		func() error { return d.Encrypted(ctx, g) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}
