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
// stock kernel finds by itself. With STUBTPM_LONG it prints times.
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
	numbers := long() // they take two minutes

	d, g := doorbell(ctx, t, "doorbell", lab.Options{Memory: 2816, Dom0Memory: 1100}) // room for a guest that is saved
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return d.Device(ctx, g) },
		func(ctx context.Context) error { return d.Measured(ctx, g) },
		func(ctx context.Context) error { return d.IMA(ctx, g) },
		func(ctx context.Context) (err error) { g, err = d.Encrypted(ctx, g); return err },
		func(ctx context.Context) error { return d.Hostile(ctx, g, time.Minute, numbers) },
		func(ctx context.Context) error { return d.Life(ctx, g, n) },
		d.end,
		d.Processors,
		d.Listed,
		d.Around,
	}
	if numbers {
		steps = append(steps, d.StartTimes, d.Plain)
	}
	d.steps(ctx, t, 8*time.Minute+time.Duration(n)*20*time.Second, steps)
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
	d.steps(ctx, t, 8*time.Minute, []func(context.Context) error{
		func(ctx context.Context) error { return d.versions(ctx, g, "4.20.", "6.12.", "systemd 257") },
		func(ctx context.Context) error { return d.Device(ctx, g) },
		func(ctx context.Context) error { return d.Measured(ctx, g) },
		func(ctx context.Context) error { return d.IMA(ctx, g) },
		func(ctx context.Context) error { return d.Pcrlock(ctx, g, "", changedWords) },
		func(ctx context.Context) (err error) { g, err = d.Encrypted(ctx, g); return err },
		func(ctx context.Context) error { return d.SameFiles(ctx, g, changedWords) },
	})
}

// steps takes steps, each within a limit. Of one that does not end it shows what the domains
// and the doorbell do.
func (d *Doorbell) steps(ctx context.Context, t *testing.T, limit time.Duration, steps []func(context.Context) error) {
	t.Helper()
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(ctx, limit)
		err := step(ctx)
		if ctx.Err() != nil {
			look, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			// A Go program prints its goroutines at SIGQUIT, and ends.
			out, err := d.M.Dom0.Run(look, "xl list; xl vcpu-list; sleep 2; xl vcpu-list; kill -QUIT $(pidof "+filepath.Base(hostCommand)+"); sleep 2; ps")
			t.Logf("dom0: %v\n%s\nstubtpm-host:\n%s\n%s's kernel:\n%s", err, out, d.log.tail(150), guestName, d.M.Tail(guestName+".kernel.log", 30))
			cancel()
		}
		cancel()
		if err != nil {
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
