package scenario

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenMigrate moves a guest with its vTPM to another host and back.
func TestXenMigrate(t *testing.T) {
	images := needXen(t)
	if !long() {
		t.Skip("boots two machines and moves a guest twice, which takes minutes: set STUBTPM_LONG=1, as make soak does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	h := hosts(ctx, t, "migrate", lab.Options{Files: images.Files(), Manufactured: true})
	m, err := NewMove(ctx, &testReport{t}, h, images.Manager, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.ThereAndBack(ctx); err != nil {
		t.Fatal(err)
	}
}
