package service

import (
	"context"
	"fmt"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen/xenbus"
)

// An Environment is what a unikernel's board provides to a service.
type Environment struct {
	Domain xenbus.Domain

	// CommandLine has parameters, separated by spaces: NAME or NAME=VALUE.
	CommandLine string

	// Disk connects to the domain's disk. It must cancel the context that the
	// service runs under if the disk fails permanently.
	Disk func(ctx context.Context) (block.Device, error)

	// Seed mixes random bytes into the domain's random number generator.
	Seed func(b []byte)

	Log func(format string, args ...any)
}

// startTimeout limits each step of the start that waits for a peer: connecting to the
// manager and to the disk.
const startTimeout = 60 * time.Second

// withLimitedLog returns a copy of e whose log peers cannot flood.
func (e *Environment) withLimitedLog() *Environment {
	l := *e
	l.Log = newLimitedLog(e.Log).Log
	return &l
}

// stateNode is the node, relative to this domain's directory, that the host's supervisor
// reads. The toolstack lets a domain write below data only.
const stateNode = "data/stubtpm"

// ReportState writes the state of the domain to xenstore: "ready", or "FAILED: " and the
// reason. Errors of xenstore are logged only.
func (e *Environment) ReportState(ctx context.Context, state string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.Domain.Store.Write(ctx, stateNode, state); err != nil {
		e.Log("xenstore: %v", err)
	}
}

// awaitShutdown waits until the toolstack asks the domain to stop, and returns the reason
// that it gives in control/shutdown. It acknowledges the request by emptying the node
// (Xen, docs/misc/xenstore-paths.pandoc).
//
// A request to suspend is not acknowledged: neither service may continue from a copy of
// its memory, which could be restored twice. The toolstack gives up after a minute, and
// the domain runs on.
func (e *Environment) awaitShutdown(ctx context.Context) (string, error) {
	const node = "control/shutdown"
	w, err := e.Domain.Store.Watch(ctx, node)
	if err != nil {
		return "", err
	}
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return "", fmt.Errorf("watch of %s ended", node)
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
		v, err := e.Domain.Store.Read(ctx, node)
		switch {
		case err != nil || v == "":
		case v == "suspend":
			e.Log("toolstack asks for suspend, which is refused: this domain cannot be saved or migrated")
		default:
			e.Domain.Store.Write(ctx, node, "")
			return v, nil
		}
	}
}

// serveUntilShutdown runs serve until it returns or the toolstack stops the domain.
func (e *Environment) serveUntilShutdown(ctx context.Context, serve func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served, stopped := make(chan error, 1), make(chan struct{}, 1)
	go func() { served <- serve(ctx) }()
	go func() {
		if reason, err := e.awaitShutdown(ctx); err == nil {
			e.Log("toolstack asks for %s", reason)
			stopped <- struct{}{}
		}
	}()
	select {
	case err := <-served:
		return err
	case <-stopped:
		cancel()
		<-served
		return nil
	}
}
