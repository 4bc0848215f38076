// Package service is what the two unikernels do, over the interfaces that
// their boards give them: the vTPM of one guest, and the vTPM manager.
//
// It has no build tag: tests run both, with a guest, in one process.
package service

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen/xenbus"
)

// An Environment is what a unikernel's board provides.
type Environment struct {
	Domain xenbus.Domain

	// CommandLine has words, and words with a value behind "=".
	CommandLine string

	// Disk connects to the domain's image. It must end the context that the
	// service runs under when the disk is lost for good.
	Disk func(ctx context.Context) (block.Device, error)

	// Seed mixes random bytes into the domain's random number generator.
	Seed func(b []byte)

	Log func(format string, args ...any)
}

// startTimeout bounds each step of the start: connecting the manager, the
// disk.
const startTimeout = 60 * time.Second

// limited returns e with a log that peers cannot flood.
func (e *Environment) limited() *Environment {
	l := *e
	l.Log = newQuiet(e.Log).Log
	return &l
}

// option returns the value of a word of the command line, and whether the word
// is there.
func (e *Environment) option(name string) (string, bool) {
	for _, word := range strings.Fields(e.CommandLine) {
		if k, v, _ := strings.Cut(word, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// ControlArea returns the physical address of the hardware TPM's control area,
// which the word tpm=HEX of the command line gives where it is not at the usual
// registers; given is false without the word.
func (e *Environment) ControlArea() (addr uint64, given bool, err error) {
	word, given := e.option("tpm")
	if !given {
		return 0, false, nil
	}
	addr, err = strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 64)
	if err != nil || addr == 0 {
		err = fmt.Errorf("tpm=%s: want the address of a control area, in hexadecimal (stubtpm-host tpm-info tells it)", word)
	}
	return addr, true, err
}

// readyNode is where the host's supervisor looks, below this domain's own
// directory: the toolstack lets a domain write below data only.
const readyNode = "data/stubtpm"

// Tell says in the store how this domain is: "ready", or "FAILED: " and why. A
// store that does not take it is no reason to end.
func (e *Environment) Tell(ctx context.Context, state string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.Domain.Store.Write(ctx, readyNode, state); err != nil {
		e.Log("xenstore: %v", err)
	}
}

// shutdown waits until the toolstack asks the domain to stop, and returns what
// it asks for. It acknowledges the request by emptying the node, as Xen's
// public/io/xs_wire protocol of control/shutdown has it.
//
// A request to suspend is left as it is: neither service can go on from a copy
// of its memory, which could be restored twice. The toolstack gives up after a
// minute, and the domain runs on.
func (e *Environment) shutdown(ctx context.Context) (string, error) {
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

// until runs serve until it fails or the toolstack stops the domain.
func (e *Environment) until(ctx context.Context, serve func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served, stopped := make(chan error, 1), make(chan struct{}, 1)
	go func() { served <- serve(ctx) }()
	go func() {
		if reason, err := e.shutdown(ctx); err == nil {
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
