package xenlife

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/drivers/xen"
)

// TestCreateGuest: the manager is told of a guest before it runs; a guest of which it
// could not be told does not run.
func TestCreateGuest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "guest.cfg")
	const uuid = "6f3b2a10-0000-4000-8000-000000000001"
	config := "name = \"mail\"\nvtpm = [\"backend=vtpm-mail,uuid=" + uuid + "\"]\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	if err := f.Store.Write(ctx, "/local/domain/7/name", "mail"); err != nil {
		t.Fatal(err)
	}
	var told string
	f.ReportCreated = func(_ context.Context, id xen.DomID, u string) error {
		if did := f.orders(); did != "create -q -p "+file || id != 7 {
			t.Errorf("told of domain %d after %q", id, did)
		}
		told = u
		return nil
	}
	if err := f.CreateGuest(ctx, file); err != nil || told != uuid {
		t.Fatalf("told %q, %v", told, err)
	}
	if did := f.orders(); did != "unpause 7" {
		t.Errorf("after it: %q", did)
	}
	os.WriteFile(file, []byte(strings.Replace(config, "\"]", "\", \"backend=b,uuid=0f7c9c1e-2f4a-4f2b-9c58-0d7c1b2a3f99\"]", 1)), 0o600)
	if err := f.CreateGuest(ctx, file); err != nil || told != uuid {
		t.Errorf("of two vTPMs: told %q, %v", told, err)
	}
	f.orders()
	f.ReportCreated = func(context.Context, xen.DomID, string) error { return errors.New("no manager") }
	if err := f.CreateGuest(ctx, file); err == nil || !strings.Contains(err.Error(), "no manager") {
		t.Errorf("without the manager: %v", err)
	}
	if did := f.orders(); did != "create -q -p "+file+"; destroy 7" {
		t.Errorf("without the manager: %q", did)
	}
	os.WriteFile(file, []byte("name = \"mail\"\nvtpm = [\"backend=vtpm-mail\"]\n"), 0o600)
	if err := f.CreateGuest(ctx, file); err == nil || f.orders() != "" {
		t.Errorf("without a uuid: %v", err)
	}
}
