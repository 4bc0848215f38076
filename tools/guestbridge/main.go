// Guestbridge gives a Xen guest a TPM 2.0 device with a resource manager.
//
// Synopsis:
//
//	guestbridge [-tpm device] [-link /dev/tpmrm0]
//
// Description:
//
// Linux' xen-tpmfront registers its TPM as a TPM 1.2: there is a /dev/tpm0 that
// accepts TPM 2.0 commands, but no /dev/tpmrm0, and neither the kernel's own
// users nor systemd recognize it as a TPM 2.0. Guestbridge creates a second TPM,
// of version 2.0, with the kernel's module tpm_vtpm_proxy, and passes its commands
// to the first one. It keeps the first one open, so that no program bypasses the
// resource manager, and links the new resource manager's device to the name that
// tools expect, if that name is free.
//
// It notifies systemd when the device exists (Type=notify) and ends on SIGTERM,
// which removes the device. While the vTPM restarts, it waits.
//
// The exit code is 0 after a signal, 1 for an error, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"stubtpm/tools/vtpmproxy"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	f := flag.NewFlagSet("guestbridge", flag.ContinueOnError)
	f.SetOutput(stderr)
	tpm := f.String("tpm", "", "the `device` to pass commands to; empty for the one that xen-tpmfront made")
	link := f.String("link", "/dev/tpmrm0", "`name` for the new resource manager's device; empty for none")
	if err := f.Parse(args); err != nil || f.NArg() != 0 {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, *tpm, *link, vtpmproxy.New, stderr); err != nil {
		fmt.Fprintf(stderr, "guestbridge: %v\n", err)
		return 1
	}
	return 0
}

// serve runs until ctx ends or the kernel removes the device. The kernel abandons a
// device during its registration if one of its first commands takes longer than 0.75
// s, or 2 s for the self-test (drivers/char/tpm/tpm2-cmd.c). That happens on a busy
// host; serve then starts again.
func serve(ctx context.Context, tpm, link string, newDevice func() (*vtpmproxy.Device, error), log io.Writer) error {
	b := &backend{path: tpm}
	if err := b.open(); err != nil {
		return err
	}
	defer b.close()
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := serveDevice(ctx, b, link, newDevice, log)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errGivenUp) {
			return err
		}
		fmt.Fprintf(log, "guestbridge: %v: once more in %v\n", err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// maxPause is the longest pause between two attempts to create a device.
const maxPause = 30 * time.Second

// errGivenUp is returned if the kernel abandoned a device during its registration.
var errGivenUp = errors.New("the kernel did not wait for the TPM's first answers")

// serveDevice creates one device and serves it until it is removed.
func serveDevice(ctx context.Context, b *backend, link string, newDevice func() (*vtpmproxy.Device, error), log io.Writer) error {
	d, err := newDevice()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Closing the server's side removes the device and unblocks a read.
	stop := context.AfterFunc(ctx, func() { d.Server.Close() })
	defer func() {
		if stop() {
			d.Server.Close()
		}
	}()
	ready := make(chan error, 1)
	go func() { ready <- announce(ctx, d, link, log) }()
	err = bridge(server{d.Server}, b)
	cancel()
	switch e := <-ready; {
	case e == nil:
		unlink(d, link) // do not leave a dangling link
	case errors.Is(e, context.Canceled):
		err = fmt.Errorf("%w (%w)", errGivenUp, err)
	default:
		err = errors.Join(err, e)
	}
	return err
}
