package scenario

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// doorbell starts a machine with a doorbell and its guest.
func doorbell(ctx context.Context, t *testing.T, name string, opt lab.Options) (*Doorbell, guest) {
	t.Helper()
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	opt.Files, opt.Encryption, opt.GuestFiles = images.Files(), true, map[string]string{abuseCommand: ringabuse,
		bridgeCommand: filepath.Join(repository, "build/guestbridge"), plainCommand: filepath.Join(t.TempDir(), "plain")}
	if err := os.WriteFile(opt.GuestFiles[plainCommand], []byte(plainScript), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := NewDoorbell(ctx, &testReport{t}, NewStack(machine(t, name, opt)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	return d, g
}

// TestXenDoorbell has a guest that is measured before it runs, with a TPM 2.0 that its
// stock kernel finds by itself.
func TestXenDoorbell(t *testing.T) {
	needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	n := 5
	if s := os.Getenv("STUBTPM_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STUBTPM_KILLS: %v", err)
		}
	}
	d, g := doorbell(ctx, t, "doorbell", lab.Options{Memory: 2816, Dom0Memory: 1100}) // room for a guest that is saved
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
		func() error { return d.Listed(ctx) },
		func() error { return d.Around(ctx) },
		func() error { return d.Plain(ctx) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestXenDoorbellTrixie has the same of Debian 13: Xen 4.20, and Linux 6.12 and systemd 257
// in dom0 and guest.
func TestXenDoorbellTrixie(t *testing.T) {
	needXen(t)
	if missing := lab.Missing(lab.Trixie); len(missing) > 0 {
		t.Skipf("without Debian 13's packages, which only go run ./tools/deps -for trixie gets:\n  %s", strings.Join(missing, "\n  "))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	d, g := doorbell(ctx, t, "trixie", lab.Options{Distribution: lab.Trixie})
	for _, step := range []func() error{
		func() error { return d.versions(ctx, g, "4.20.", "6.12.", "systemd 257") },
		func() error { return d.Device(ctx, g) },
		func() error { return d.Measured(ctx, g) },
		func() error { return d.IMA(ctx, g) },
		func() error { return d.Pcrlock(ctx, g, "", changedWords) },
		func() (err error) { g, err = d.Encrypted(ctx, g); return err },
		func() error { return d.SameFiles(ctx, g, changedWords) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// versions checks what runs.
func (d *Doorbell) versions(ctx context.Context, g guest, xen, linux, systemd string) error {
	host, err := d.M.Dom0.Run(ctx, "xl info xen_version; uname -r")
	if err != nil {
		return err
	}
	out, err := d.run(ctx, g, "uname -r; systemd-cryptenroll --version | head -n 1")
	if err != nil {
		return err
	}
	d.r.Show("dom0, guest", "xl info xen_version; uname -r; systemd-cryptenroll --version", host+out)
	check(d.r, "Xen, dom0's kernel, and the guest's kernel and systemd are those of the distribution",
		strings.HasPrefix(host, xen) && strings.Contains(host, "\n"+linux) && strings.HasPrefix(out, linux) && strings.Contains(out, systemd), "%s%s", host, out)
	return nil
}
