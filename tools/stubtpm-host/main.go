// Command stubtpm-host keeps the domains of vTPMs and their manager running on
// a Xen host.
//
// Synopsis:
//
//	stubtpm-host run [-restart] FILE ...   start the domains of xl configurations and keep them connected
//	stubtpm-host reattach NAME             give what an earlier NAME served a device of the present one
//
// Run starts each domain, waits until it says that it serves, gives each domain
// that an earlier incarnation served a device of this one, and ends when the
// domain has ended; with -restart, it starts the domain again. SIGTERM shuts the
// domains down. Under systemd (Type=notify) it says when the domain serves.
//
// It runs in domain 0 as root. The exit code is 0 for success, 1 for an error,
// 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"stubtpm/drivers/xen/devxen"
	"stubtpm/tools/xenlife"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "stubtpm-host:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: stubtpm-host run [-restart] FILE ... | reattach NAME")

// stateDir is on a file system that is empty after a restart of the machine.
const stateDir = "/run/stubtpm"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) < 2 {
		return errUsage
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	restart := false
	if args[0] == "run" {
		f.BoolVar(&restart, "restart", false, "start a domain again when it has ended")
	}
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() == 0 || f.NArg() > 1 && !restart {
		return errUsage
	}
	if args[0] != "run" && args[0] != "reattach" {
		return errUsage
	}
	dom0, err := devxen.Open()
	if err != nil {
		return err
	}
	defer dom0.Close()
	var mu sync.Mutex
	h := &xenlife.Host{
		Store: dom0.Domain().Store,
		XL:    xenlife.XL,
		State: stateDir,
		Log: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(stdout, format+"\n", args...)
		},
	}
	if args[0] == "reattach" {
		return h.ReattachNow(ctx, f.Arg(0))
	}
	if !restart {
		return h.Run(ctx, f.Arg(0), notify)
	}
	var wait sync.WaitGroup
	for _, file := range f.Args() {
		wait.Go(func() { h.Restart(ctx, file) })
	}
	wait.Wait()
	return nil
}

// notify tells systemd that the service is up (sd_notify(3)); without systemd
// there is nobody to tell.
func notify() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte("READY=1"))
}
