package scenario

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenDoorbell has a guest with a TPM 2.0 that its kernel finds by itself.
func TestXenDoorbell(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	s := NewStack(machine(t, "doorbell", lab.Options{Files: images.Files()}))
	d, err := NewDoorbell(ctx, &testReport{t}, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Device(ctx); err != nil {
		t.Fatal(err)
	}
}
