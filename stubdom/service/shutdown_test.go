package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/xen/xentest"
)

// TestSuspendIsRefused: a domain that is asked to suspend leaves the request
// unanswered and serves on; one that is asked to power off ends.
func TestSuspendIsRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	host := xentest.NewHost()
	const node = "/local/domain/5/control/shutdown"
	host.Store.Set(map[string]string{node: ""})
	said := make(chan string, 10)
	e := &Environment{Domain: host.Domain(5), Log: func(f string, _ ...any) { said <- f }}
	defer e.Domain.Store.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- e.serveUntilShutdown(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	}()
	dom0 := host.Domain(0)
	defer dom0.Store.Close()
	if err := dom0.Store.Write(ctx, node, "suspend"); err != nil {
		t.Fatal(err)
	}
	<-said
	select {
	case err := <-ended:
		t.Fatalf("the domain ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if v, err := dom0.Store.Read(ctx, node); err != nil || v != "suspend" {
		t.Errorf("the request was answered: %q, %v", v, err)
	}
	if err := dom0.Store.Write(ctx, node, "poweroff"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestFlood: a frontend that writes whatever it likes into its state node, as
// fast as it can, costs the backend's log a few lines.
func TestFlood(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var lines counted
	e := l.environment(managerID, l.mgrDisk, initWords)
	e.Log = lines.log
	stop := l.run(managerID, func(ctx context.Context) error { return Manager(ctx, e, l.hw) })
	defer stop()
	front := l.attach(0, managerID, "00000000-0000-0000-0000-000000000000")
	defer front.Close(l.ctx)
	dom0 := l.host.Domain(0)
	defer dom0.Store.Close()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		for _, s := range []string{"98", "99", "4", "6", "1", "nonsense"} {
			if err := dom0.Store.Write(l.ctx, "/local/domain/0/device/vtpm/0/state", s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := lines.count(); n > 60 { // a handful of kinds
		t.Errorf("%d lines of log in two seconds", n)
	}
}
