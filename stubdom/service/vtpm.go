package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/tpmif"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/proto"
)

// managerTimeout limits one request to the manager, which may wait for the hardware TPM
// behind others.
const managerTimeout = 60 * time.Second

// VTPM runs the vTPM of one guest until the toolstack stops the domain. Parameter of the
// command line:
//
//	ping=N   measure N round trips to the manager and log the median
func VTPM(ctx context.Context, e *Environment) error {
	e = e.withLimitedLog()
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Not ctx: the last save comes after the request to stop.
	linkCtx, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	l, err := connectLink(linkCtx, start, e)
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	defer func() {
		unlink()
		<-l.stopped
		l.ring.Close(context.WithoutCancel(ctx))
	}()
	manager := &proto.Client{Transact: func(b []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(linkCtx, managerTimeout)
		defer cancel()
		return l.transact(ctx, b)
	}}
	grant, err := manager.Load()
	if errors.Is(err, proto.Moving) {
		return fmt.Errorf("manager: %w: start this domain again once the move has ended; `stubtpm mgr move list` shows it", err)
	}
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	e.Seed(grant.Entropy[:])
	e.Log("manager knows this vTPM: state %d, epoch %d.%d", grant.State.Sequence, grant.Ledger, grant.Epoch)
	if n, ok := e.parameter("ping"); ok {
		if err := ping(e, manager, &grant, n); err != nil {
			return err
		}
	}
	disk, err := e.Disk(start)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	o, err := openDevice(e, disk, manager, &grant)
	if err != nil {
		return err
	}
	device := o.device
	if err := certify(device, manager); err != nil {
		// A TPM without certificates is better than none.
		e.Log("certificates: %v", err)
	}
	h := &guestHandler{device: device, log: e.Log, manager: manager, uuid: grant.UUID, attested: grant.Attested, store: o.store}
	if err := h.begin(&o); err != nil {
		return err
	}
	l.onOpen(h.reportGuest)
	ring := tpmif.Server{Domain: e.Domain, Handler: h, Log: e.Log}
	memory := crb.Server{Domain: e.Domain, Handler: h, Log: e.Log}
	e.Log("ready")
	e.ReportState(ctx, "ready")
	defer h.end()
	serving, served := context.WithCancel(ctx)
	defer served()
	go finishSelfTests(serving, device)
	go renewCertificates(serving, e, device, manager, &h.gate)
	freeze := func(ctx context.Context) error { return h.obeyFreeze(ctx, e) }
	tokens := func(ctx context.Context) error { return h.obeyToken(ctx, e) }
	return e.serveUntilShutdown(ctx, func(ctx context.Context) error { return either(ctx, ring.Run, memory.Run, freeze, tokens) })
}

// either runs servers until one ends, ends the others, and returns the error of the first.
func either(ctx context.Context, servers ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(servers))
	for _, run := range servers {
		go func() { ended <- run(ctx) }()
	}
	err := <-ended
	cancel()
	for range servers[1:] {
		<-ended
	}
	return err
}

// selfTestPause is the pause between two self-tests, which leaves the processor to the
// first commands after power-on.
const selfTestPause = 20 * time.Millisecond

// finishSelfTests runs the self-tests that no command needed yet.
func finishSelfTests(ctx context.Context, d *vtpm.Device) {
	for more := true; more; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(selfTestPause):
			more = d.SelfTestStep()
		}
	}
}
