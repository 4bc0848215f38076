package xenlife

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestartBacksOff: a domain that cannot be created is tried less and less
// often.
func TestRestartBacksOff(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fail = "create"
	file := filepath.Join(t.TempDir(), "vtpm.cfg")
	if err := os.WriteFile(file, []byte("name = \"vtpm-mail\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.xen.Store.Set(map[string]string{"/local/domain/0/name": "Domain-0"})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	f.Restart(ctx, f.Run, file, func() { t.Error("it is said to serve") })
	// After 0, 0.2, 0.6 and 1.4 seconds.
	if n := strings.Count(f.orders(), "create"); n < 2 || n > 4 {
		t.Errorf("%d tries in two seconds", n)
	}
}
