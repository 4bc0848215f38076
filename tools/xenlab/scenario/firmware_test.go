package scenario

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenFirmware updates a host's firmware twice, with the operator's approvals, and
// then downgrades it.
func TestXenFirmware(t *testing.T) {
	images := needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	dir := filepath.Join(repository, "build/xenlab-firmware")
	if err := os.RemoveAll(filepath.Join(dir, "tpm")); err != nil {
		t.Fatal(err)
	}
	h := &Host{r: &testReport{t}, dir: t.TempDir(), images: images, boot: func(opt lab.Options) (*lab.Machine, error) {
		opt.Dir, opt.LinuxGuest = dir, true
		m, err := lab.Start(ctx, opt)
		if err == nil {
			t.Cleanup(m.Close)
		}
		return m, err
	}}
	if err := h.Updates(ctx, long()); err != nil {
		t.Fatal(err)
	}
}
