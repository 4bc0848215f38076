package scenario

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenAdmin sends the manager an administrator's orders.
func TestXenAdmin(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	images.Extra = map[string]string{manifestFile: filepath.Join(repository, "build/images/manifest.json")}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	s := NewStack(machine(t, "admin", lab.Options{Files: images.Files()}))
	if err := s.StartManager(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Admin(ctx, &testReport{t}); err != nil {
		t.Fatal(err)
	}
}
