package doorbell

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/eventlog"
	"stubtpm/drivers/xen"
	"stubtpm/image/launch"
	"stubtpm/vtpm/tcg"
)

// ErrNotTaken is returned by Daemon.ReportMeasured if the manager refuses the start, such as
// of a program that the vTPM's record does not list.
var ErrNotTaken = errors.New("doorbell: the guest's start was not reported to the manager")

// ErrChanged means that a guest was changed or started while it was measured.
var ErrChanged = errors.New("doorbell: the guest has changed while it was measured")

// nodeMeasured is the node of the backend that exists once all is measured.
const nodeMeasured = "measured"

// usualBanks are what a vTPM has unless its profile or its owner says otherwise.
var usualBanks = []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}

// measured measures what the guest will run, tells the manager, and then the TPM, as a
// platform's firmware does. It returns the event channel of the TPM, which is then the
// guest's.
func (g *guest) measured(ctx context.Context, memory Guest, vtpm xen.DomID, start uint64) (to xen.Channel, err error) {
	before, _, err := memory.Registers(0)
	if err != nil {
		return nil, err
	}
	options, err := g.options(ctx)
	if err != nil {
		return nil, err
	}
	if g.launch == nil { // it takes seconds, and may not have to be tried again
		if g.launch, err = g.hash(ctx, memory, start, before.RIP, options, usualBanks); err != nil {
			return nil, err
		}
	}
	l := g.launch
	if err := g.ReportMeasured(ctx, g.id, g.uuid, l.Program); err != nil {
		return nil, err
	}
	// A process that ended may have left a command, which must not run in the middle of
	// this measurement.
	client, unmap, err := openClient(memory)
	if err != nil {
		return nil, err
	}
	defer unmap()
	to, err = connect(ctx, g.Domain, g.id, vtpm, g.uuid, true)
	if _, done := g.Domain.Store.Read(ctx, g.base+"/"+nodeMeasured); errors.Is(err, ErrRefused) && done == nil {
		// A process before this one had ended its measurement, and did not come to tell the
		// toolstack.
		return connect(ctx, g.Domain, g.id, vtpm, g.uuid, false)
	}
	if err != nil {
		return nil, err
	}
	opened := to
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	client.Ring, client.Wait = to.Notify, awaitEvent(to)
	f := firmware{ctx, client}
	banks, err := f.start(launch.Measurer)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(banks, usualBanks) {
		program := l.Program
		if l, err = g.hash(ctx, memory, start, before.RIP, options, banks); err != nil {
			return nil, err
		}
		if l.Program != program {
			return nil, ErrChanged
		}
	}
	for _, e := range l.Log.Events {
		if err := f.extend(e); err != nil {
			return nil, err
		}
	}
	log, err := l.Log.Encode(eventlog.AreaSize)
	if err != nil {
		return nil, err
	}
	if _, err := memory.WriteAt(log, crb.LogFrame*xen.PageSize); err != nil {
		return nil, err
	}
	if after, _, err := memory.Registers(0); err != nil {
		return nil, err
	} else if err := g.NotRun(ctx, g.id); err != nil || after != before {
		return nil, errors.Join(ErrChanged, err)
	}
	if err := g.Domain.Store.Write(ctx, g.base+"/"+nodeMeasured, "1"); err != nil {
		return nil, err
	}
	return to, client.Signal(ctx, crb.SignalGuestRuns, nil)
}

// hash measures the guest's memory, in its turn.
func (g *guest) hash(ctx context.Context, memory Guest, start, entry uint64, o launch.Options, banks []tcg.TPMAlgID) (*launch.Launch, error) {
	select {
	case g.hashing <- struct{}{}:
		defer func() { <-g.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	begin := time.Now()
	l, err := g.known.Measure(memory, start, entry, o, banks)
	if err == nil {
		g.Log("domain %d: hashed in %v", g.id, time.Since(begin).Round(time.Millisecond))
	}
	return l, err
}

// options returns what the toolstack was told of the guest.
func (g *guest) options(ctx context.Context) (o launch.Options, err error) {
	store, home := g.Domain.Store, fmt.Sprintf("/local/domain/%d", g.id)
	kib, err := store.ReadUint(ctx, home+"/memory/target")
	if err != nil {
		return o, err
	}
	vm, err := store.Read(ctx, home+"/vm")
	if err != nil {
		return o, err
	}
	processors, err := store.Directory(ctx, home+"/cpu")
	if err != nil {
		return o, err
	}
	o = launch.Options{Memory: uint64(kib) >> 10, UUID: path.Base(vm)}
	for _, p := range processors {
		if v, err := store.Read(ctx, home+"/cpu/"+p+"/availability"); err == nil && v == "online" {
			o.VCPUs++
		}
	}
	return o, nil
}

// openClient maps the control area and the buffer of a guest, and clears them.
func openClient(memory Guest) (*crb.Client, func(), error) {
	var mapped []xen.MappedPage
	unmap := func() {
		for _, p := range mapped {
			p.Unmap()
		}
	}
	for i := range uint64(1 + crb.BufferPages) {
		p, err := memory.Map(crb.ControlFrame + i) // the buffer is behind it
		if err != nil {
			unmap()
			return nil, nil, err
		}
		mapped = append(mapped, p)
	}
	c := &crb.Client{Control: mapped[0].Page()}
	for _, p := range mapped[1:] {
		c.Buffer = append(c.Buffer, p.Page())
	}
	crb.Clear(c.Control)
	return c, unmap, nil
}

// awaitEvent returns a function that waits for an event.
func awaitEvent(c xen.Channel) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		select {
		case _, ok := <-c.C():
			if !ok {
				return xen.ErrClosed
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A firmware uses the TPM of a guest that does not run yet. It is a transport.TPM.
type firmware struct {
	ctx context.Context
	*crb.Client
}

// Send implements transport.TPM.
func (f firmware) Send(command []byte) ([]byte, error) { return f.Transact(f.ctx, 0, command) }

// start switches the TPM on, with the measurer's name as H-CRTM (TPM 2.0 Library,
// Part 1, "H-CRTM before TPM2_Startup() and TPM2_Startup() without H-CRTM"), and returns
// the PCR banks that it has.
func (f firmware) start(measurer string) ([]tcg.TPMAlgID, error) {
	for _, s := range []struct {
		signal crb.Signal
		data   string
	}{{crb.SignalInit, ""}, {crb.SignalHashStart, ""}, {crb.SignalHashData, measurer}, {crb.SignalHashEnd, ""}} {
		if err := f.Signal(f.ctx, s.signal, []byte(s.data)); err != nil {
			return nil, err
		}
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(f); err != nil {
		return nil, fmt.Errorf("doorbell: TPM2_Startup: %w", err)
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(f)
	if err != nil {
		return nil, fmt.Errorf("doorbell: TPM2_GetCapability: %w", err)
	}
	list, err := r.CapabilityData.Data.AssignedPCR()
	if err != nil {
		return nil, fmt.Errorf("doorbell: TPM2_GetCapability: %w", err)
	}
	var banks []tcg.TPMAlgID
	for _, s := range list.PCRSelections {
		if slices.ContainsFunc(s.PCRSelect, func(b byte) bool { return b != 0 }) {
			banks = append(banks, tcg.TPMAlgID(s.Hash))
		}
	}
	return banks, nil
}

// extend extends a PCR with an event, unless the TPM did that itself.
func (f firmware) extend(e eventlog.Event) error {
	if e.Type == eventlog.EVNoAction || e.Type == eventlog.EVEFIHCRTMEvent {
		return nil
	}
	c := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(e.PCR), Auth: tpm2.PasswordAuth(nil)}}
	for _, d := range e.Digests {
		c.Digests.Digests = append(c.Digests.Digests, tpm2.TPMTHA{HashAlg: tpm2.TPMAlgID(d.Alg), Digest: d.Sum})
	}
	if _, err := c.Execute(f); err != nil {
		return fmt.Errorf("doorbell: TPM2_PCR_Extend: %w", err)
	}
	return nil
}
