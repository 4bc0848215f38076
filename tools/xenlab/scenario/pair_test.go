package scenario

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// hosts boots two machines for one test. Their files stay in build/.
func hosts(ctx context.Context, t *testing.T, name string, opt lab.Options) *Hosts {
	t.Helper()
	opt.LinuxGuest = true
	var both [2]lab.Options
	for i, side := range []string{"a", "b"} {
		o := opt
		o.Dir = filepath.Join(repository, "build/xenlab-"+name+"-"+side)
		o.Log = func(format string, args ...any) { t.Logf(side+": "+format, args...) }
		if err := os.RemoveAll(filepath.Join(o.Dir, "tpm")); err != nil {
			t.Fatal(err)
		}
		both[i] = o
	}
	h, err := NewHosts(ctx, &testReport{t}, both[0], both[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// TestXenPair moves a guest without a TPM between two hosts by xl alone.
func TestXenPair(t *testing.T) {
	images := needXen(t)
	if !long() {
		t.Skip("boots two machines, and moves 180 MB over a network that takes minutes on a busy host: set STUBTPM_LONG=1, as make soak does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	begin := time.Now()
	h := hosts(ctx, t, "pair", lab.Options{Files: images.Files()})
	t.Logf("both are up after %v", time.Since(begin).Round(100*time.Millisecond))
	if err := h.Listen(ctx, "xl migrate-receive"); err != nil {
		t.Fatal(err)
	}
	if err := h.A.M.Create(ctx, guestName, lab.GuestConfig(guestName, guestMiB)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.A.M.ConnectGuest(ctx, guestName, time.Minute); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	out, err := h.PlainMove(ctx, h.A, lab.AddressB, guestName)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, h.log(ctx, h.B))
	}
	t.Logf("moved in %v", time.Since(begin).Round(100*time.Millisecond))
	g, err := h.B.M.ConnectGuest(ctx, guestName, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := g.Run(ctx, "uptime"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
