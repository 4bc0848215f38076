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

// TestXenMigrateShown moves a guest there and back while a verifier watches, and prints how long
// it stood still, beside a guest without a vTPM.
func TestXenMigrateShown(t *testing.T) {
	images := needXen(t)
	if !long() {
		t.Skip("boots two machines and moves guests three times, which takes minutes: set STUBTPM_LONG=1, as make soak does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	h := hosts(ctx, t, "shown", lab.Options{Files: images.Files(), Manufactured: true,
		GuestFiles: map[string]string{evidenceCommand: filepath.Join(repository, "build/stubtpm-guest")}})
	dir := t.TempDir()
	m, err := NewMove(ctx, &testReport{t}, h, images.Manager, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Shown(ctx, dir); err != nil {
		t.Fatal(err)
	}
}
