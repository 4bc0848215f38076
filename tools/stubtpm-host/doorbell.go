package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/image/launch"
	"stubtpm/tools/doorbell"
	"stubtpm/tools/xenlife"
)

// noManager is the exit code of `stubtpm mgr` if the manager does not answer.
const noManager = 4

// serveDoorbell serves guests until ctx ends. Without a key nothing is measured: the manager
// believes no one else what a guest was started with.
func serveDoorbell(ctx context.Context, h *xenlife.Host, dom0 *devxen.Host, key, manager string) error {
	d := &doorbell.Daemon{
		Domain: dom0.Domain(), Lost: dom0.Lost(), Manager: manager,
		OpenGuest: func(id xen.DomID) (doorbell.Guest, error) { return devxen.OpenMemory(id) },
		CreateServer: func(id xen.DomID, first, last uint16, created func(uint16) error) (doorbell.IOServer, error) {
			return devxen.CreateIOServer(id, first, last, created)
		},
		OpenServer: func(id xen.DomID, server uint16) (doorbell.IOServer, error) { return devxen.OpenIOServer(id, server) },
		NotRun:     notRun,
		Destroy: func(ctx context.Context, id xen.DomID) error {
			_, err := h.XL(ctx, "destroy", strconv.Itoa(int(id)))
			return err
		},
		Log: h.Log,
	}
	if key != "" {
		report := func(ctx context.Context, words ...string) error {
			err := reportTo(ctx, key, manager, words...)
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.Exited() && exit.ExitCode() != noManager {
				err = fmt.Errorf("%w: %w", doorbell.ErrNotTaken, err)
			}
			return err
		}
		d.ReportMeasured = func(ctx context.Context, id xen.DomID, uuid string, program [32]byte) error {
			return report(ctx, "created", strconv.Itoa(int(id)), uuid, "--measured", hex.EncodeToString(program[:]), "--measurer", launch.Measurer)
		}
		d.ReportRestored = func(ctx context.Context, id xen.DomID, uuid string, token [crb.TokenSize]byte) error {
			return report(ctx, "restored", strconv.Itoa(int(id)), uuid, hex.EncodeToString(token[:]))
		}
	}
	notify()
	err := d.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// notRun returns xenlife.ErrNotPaused unless a domain is paused and has never run. Starts are
// measured sooner than by xenlife's CheckNotRun, which runs xl.
func notRun(_ context.Context, id xen.DomID) error {
	m, err := devxen.OpenMemory(id)
	if err != nil {
		return err
	}
	defer m.Close()
	built, err := m.Built()
	if err == nil && !built {
		err = fmt.Errorf("%w: domain %d", xenlife.ErrNotPaused, id)
	}
	return err
}
