//go:build tamago

// Package unikernel starts a service in a Xen PVH domain: it connects board/xen to the
// interfaces that services are written against.
package unikernel

import (
	"context"
	"fmt"
	"os"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/blkif"
	"stubtpm/drivers/block"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/stubdom/service"
)

// diskID is the device number of xvda (xen/include/public/io/blkif.h and
// docs/man/xen-vbd-interface.7: 202 << 8).
const diskID = 202 << 8

// Main runs a service to its end. If it fails, Main prints the error to the console and
// the domain ends as crashed, with code 1.
func Main(name string, run func(ctx context.Context, e *service.Environment) error) {
	log := func(format string, args ...any) {
		fmt.Printf("%s: %s\n", name, fmt.Sprintf(format, args...))
	}
	log("domain %d", board.DomID())
	if err := start(log, run); err != nil {
		log("FAILED: %v", err)
		time.Sleep(100 * time.Millisecond) // the console daemon reads the line
		os.Exit(1)
	}
	log("stopped")
	os.Exit(0)
}

func start(log func(string, ...any), run func(ctx context.Context, e *service.Environment) error) error {
	ring, err := board.StoreRing()
	if err != nil {
		return fmt.Errorf("xenstore: %w", err)
	}
	domain := xenbus.Domain{Events: board.Events(), Grants: board.Grants(), Store: xenstore.NewClient(ring)}
	// A disk that is lost ends the domain, so that its supervisor restarts it.
	ctx, end := context.WithCancelCause(context.Background())
	e := &service.Environment{
		Domain:      domain,
		CommandLine: board.CommandLine(),
		Disk: func(ctx context.Context) (block.Device, error) {
			d, err := blkif.Connect(ctx, domain, diskID)
			if err != nil {
				return nil, err
			}
			d.Log, d.Broken = log, end
			return d, nil
		},
		Seed: board.Seed,
		Log:  log,
	}
	err = run(ctx, e)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		e.ReportState(context.Background(), "FAILED: "+err.Error())
		return err
	}
	return nil
}
