package doorbell

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/eventlog"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/image/launch"
	"stubtpm/tools/xenlife"
)

// A guest is a domain with a device.
type guest struct {
	*Daemon
	id   xen.DomID
	base string // of the backend in xenstore
	uuid string // of the vTPM
	stop context.CancelFunc

	closing  sync.Once // the wait for the guest to run
	unmarked sync.Once // the log that Xen is not told of what was written

	restored bool // from a file, and has not run when it was found

	launch *launch.Launch // what was measured with the usual banks; nil if nothing was yet

	vtpm atomic.Int32 // domain of the vTPM, 0 for none
	news chan struct{}
	line line
}

// Times.
const (
	retryDelay = time.Second
	// linkTimeout is how long the vTPM's domain may take to serve a guest. It may have to
	// wait for the manager.
	linkTimeout = 2 * time.Minute
	// destroyTimeout is how long the toolstack may take to destroy a guest.
	destroyTimeout = 2 * time.Minute
	// runPoll is the pause between two looks whether a guest has begun to run.
	runPoll = 200 * time.Millisecond
)

// nodeServer is the node of the backend that keeps the number of the ioreq server.
const nodeServer = "ioreq-server"

// ErrUnprepared means that a guest has run without the pages and tables of a TPM: it will
// not find one.
var ErrUnprepared = errors.New("doorbell: the domain was started without a TPM, and cannot get one while it runs")

// look tells the guest which domain its vTPM has now.
func (g *guest) look(vtpm xen.DomID) {
	if g.vtpm.Swap(int32(vtpm)) == int32(vtpm) {
		return
	}
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// run serves the guest until ctx ends: when its device is gone, or the process ends.
func (g *guest) run(ctx context.Context) error {
	memory, err := g.OpenGuest(g.id)
	if err != nil {
		return err
	}
	defer memory.Close()
	defer g.forget(ctx)
	start, err := g.startInfo(ctx, memory)
	if err != nil {
		return err
	}
	if start == 0 && !furnished(memory) {
		return ErrUnprepared
	}
	if start != 0 {
		if err := furnish(memory, start); err != nil {
			return err
		}
	}
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	g.line.changed = func() { g.changed(server) }
	bell, err := hang(g.Domain.Events, g.id, server, g.line.ring)
	if err != nil {
		return err
	}
	defer bell.close()
	defer g.line.set(nil)
	return g.serve(ctx, memory, start)
}

// changed tells Xen that the vTPM has written to the guest's control area and buffer, so that
// this is copied if the guest is on its way to another host.
func (g *guest) changed(server IOServer) {
	written := []uint64{crb.ControlFrame}
	for i := range uint64(crb.BufferPages) {
		written = append(written, crb.BufferFrame+i)
	}
	if err := server.Modified(written...); err != nil {
		g.unmarked.Do(func() { g.Log("domain %d: %v", g.id, err) })
	}
}

// forget tells the vTPM that the guest is gone, unless only this process ends.
func (g *guest) forget(ctx context.Context) {
	vtpm := g.vtpm.Load()
	if ctx = context.WithoutCancel(ctx); vtpm == 0 {
		return
	}
	if _, err := g.Domain.Store.Read(ctx, g.base+"/uuid"); !errors.Is(err, xenstore.ErrNotExist) {
		return
	}
	dir := linkDirectory(xen.DomID(vtpm), g.id)
	if err := g.Domain.Store.Remove(ctx, dir); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		g.Log("domain %d: %v", g.id, err)
	}
}

// cr0PE is the only bit of CR0 that is set where a PVH domain begins; ET reads as 1.
const (
	cr0PE = 1
	cr0ET = 1 << 4
)

// startInfo returns the address of struct hvm_start_info in a domain that was built and
// has not run, and 0 for any other one. A domain that was restored from a file has not run
// either. Its processors need not show that, since they are where it left them.
func (g *guest) startInfo(ctx context.Context, memory Guest) (uint64, error) {
	if err := g.NotRun(ctx, g.id); errors.Is(err, xenlife.ErrNotPaused) {
		return 0, nil
	} else if err != nil {
		return 0, err // not to be taken for one that runs: it could be held, and stay so
	}
	if restored, err := memory.Restored(); err != nil {
		return 0, err
	} else if restored {
		g.Log("domain %d was restored, so it is not measured", g.id)
		g.restored = true
		return 0, nil
	}
	r, ok, err := memory.Registers(0)
	if err != nil || !ok || r.CR0&^cr0ET != cr0PE {
		return 0, err
	}
	if _, ok, err = memory.Registers(1); err != nil || ok {
		return 0, err
	}
	var magic [4]byte
	if _, err := memory.ReadAt(magic[:], int64(r.RBX)); err != nil || binary.LittleEndian.Uint32(magic[:]) != startInfoMagic {
		return 0, nil
	}
	return r.RBX, nil
}

// Fields of struct hvm_start_info (public/arch-x86/hvm/start_info.h).
const (
	startInfoMagic = 0x336EC578
	startInfoRSDP  = 32 // address, 64 bits
)

// frames returns the frame numbers of a guest's pages.
func frames() (list []uint64) {
	add := func(first, n uint64) {
		for i := range n {
			list = append(list, first+i)
		}
	}
	add(crb.ControlFrame, 1)
	add(crb.BufferFrame, crb.BufferPages)
	add(crb.TablesFrame, 1)
	add(crb.LogFrame, eventlog.AreaSize/xen.PageSize)
	return list
}

// furnished reports whether a guest has the pages of a TPM. One that has given them back
// harms itself only.
func furnished(memory Guest) bool {
	var b [1]byte
	_, err := memory.ReadAt(b[:], crb.ControlFrame*xen.PageSize)
	return err == nil
}

// furnish puts the pages and tables of a TPM into a guest that has not run. It may have
// been done in part before.
func furnish(memory Guest, start uint64) error {
	for _, f := range frames() {
		var b [1]byte
		if _, err := memory.ReadAt(b[:], int64(f*xen.PageSize)); err == nil {
			continue
		}
		if err := memory.Populate(f); err != nil {
			return err
		}
	}
	var rsdp [8]byte
	if _, err := memory.ReadAt(rsdp[:], int64(start)+startInfoRSDP); err != nil {
		return err
	}
	if err := addTables(memory, binary.LittleEndian.Uint64(rsdp[:])); err != nil {
		return err
	}
	control, err := memory.Map(crb.ControlFrame)
	if err != nil {
		return err
	}
	defer control.Unmap()
	crb.Clear(control.Page())
	return nil
}

// server opens the guest's ioreq server, or makes it.
func (g *guest) server(ctx context.Context) (IOServer, error) {
	node := g.base + "/" + nodeServer
	if n, err := g.Domain.Store.ReadUint(ctx, node); err == nil {
		return g.OpenServer(g.id, uint16(n))
	} else if !errors.Is(err, xenstore.ErrNotExist) {
		return nil, err
	}
	return g.CreateServer(g.id, crb.DoorbellPort, crb.DoorbellPort+crb.DoorbellSize-1, func(n uint16) error {
		return g.Domain.Store.Write(ctx, node, strconv.Itoa(int(n)))
	})
}

// serve connects the guest to the domain of its vTPM, and to each later one. start is not 0
// if the guest has not run.
func (g *guest) serve(ctx context.Context, memory Guest, start uint64) error {
	if g.restored && g.ReportRestored != nil {
		// Its vTPM may come from another host after it: the toolstack does not wait.
		if waits, err := g.waits(ctx, start); err != nil {
			return err
		} else if waits {
			if err := g.hold(ctx, memory); err != nil {
				return err
			}
		}
	}
	told := ""
	var now xen.DomID // that serves the guest
	for {
		var retry <-chan time.Time
		if vtpm := xen.DomID(g.vtpm.Load()); vtpm != now {
			now = 0
			g.line.set(nil)
			if vtpm != 0 {
				err := g.attach(ctx, memory, vtpm, start)
				switch {
				case err == nil:
					now, start, told = vtpm, 0, ""
					g.restored = false
					g.Log("domain %d: served by domain %d", g.id, vtpm)
				case ctx.Err() != nil:
					return ctx.Err()
				case (start != 0 || g.restored) && hopeless(err):
					return g.give(ctx, err)
				default:
					if told != err.Error() {
						told = err.Error()
						g.Log("domain %d: %v", g.id, err)
					}
					retry = time.After(retryDelay)
				}
			}
		}
		select {
		case <-g.news:
		case <-retry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give ends a guest that cannot be started, because of err.
func (g *guest) give(ctx context.Context, err error) error {
	g.Log("domain %d cannot be started: %v", g.id, err)
	// So the toolstack does not wait for the device to end.
	if err := g.setState(ctx, xenbus.Closed); err != nil {
		return err
	}
	// ctx ends with the device, and the domain ends after its devices.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	return g.Destroy(ctx, g.id)
}

// hopeless reports whether a guest that could not be started because of err cannot be
// started at all.
func hopeless(err error) bool {
	for _, e := range []error{ErrRefused, ErrChanged, ErrNotTaken, launch.ErrStartInfo, launch.ErrOptions} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// attach has the domain of a vTPM serve the guest. One that has not run is measured
// first, or reported if it was restored, and held meanwhile: the toolstack waits for a
// device ten seconds only.
func (g *guest) attach(parent context.Context, memory Guest, vtpm xen.DomID, start uint64) error {
	ctx, cancel := context.WithTimeout(parent, linkTimeout)
	defer cancel()
	if err := memory.Seed(grants(vtpm)...); err != nil {
		return err
	}
	waits, err := g.waits(ctx, start)
	if err != nil {
		return err
	}
	var to xen.Channel
	hold := waits && (g.restored && g.ReportRestored != nil || !g.restored && g.ReportMeasured != nil)
	if hold {
		if err := g.hold(parent, memory); err != nil {
			return err
		}
	}
	switch {
	case hold && g.restored:
		to, err = g.returned(ctx, memory, vtpm)
	case hold:
		to, err = g.measured(ctx, memory, vtpm, start)
	default:
		to, err = connect(ctx, g.Domain, g.id, vtpm, g.uuid, false)
	}
	if err != nil {
		return err
	}
	g.line.set(to)
	// A command may wait since the last domain of the vTPM ended.
	if err := to.Notify(); err != nil {
		return err
	}
	if !hold {
		if err := g.ready(parent, memory); err != nil || !waits {
			return err
		}
		if _, err := g.Domain.Store.Read(ctx, g.base+"/"+nodeHeld); err != nil {
			return nil // no process before this one held it
		}
	}
	return g.release(ctx, memory)
}

// waits reports whether a guest that had not run when this process found it, with a start
// info or restored, still has not. An attempt that failed late may have had it run.
func (g *guest) waits(ctx context.Context, start uint64) (bool, error) {
	if start == 0 && !g.restored {
		return false, nil
	}
	err := g.NotRun(ctx, g.id)
	if errors.Is(err, xenlife.ErrNotPaused) {
		return false, nil
	}
	return err == nil, err
}

// nodeHeld is the node of the backend that exists while the guest is held.
const nodeHeld = "held"

// hold pauses the guest once more than the toolstack did, and lets that go on.
func (g *guest) hold(ctx context.Context, memory Guest) error {
	node := g.base + "/" + nodeHeld
	// It may be held by a process before this one, or since an attempt before this one.
	if _, err := g.Domain.Store.Read(ctx, node); err != nil {
		if err := memory.Pause(); err != nil {
			return err
		}
		if err := g.Domain.Store.Write(ctx, node, "1"); err != nil {
			return err
		}
	}
	return g.ready(ctx, memory)
}

// release undoes hold.
func (g *guest) release(ctx context.Context, memory Guest) error {
	if err := memory.Unpause(); err != nil {
		return err
	}
	return g.Domain.Store.Remove(ctx, g.base+"/"+nodeHeld)
}

// grants share the pages of a guest with the domain of its vTPM.
func grants(vtpm xen.DomID) []devxen.Grant {
	list := []devxen.Grant{{Ref: crb.ControlRef, Peer: vtpm, Frame: crb.ControlFrame}}
	for i := range uint32(crb.BufferPages) {
		list = append(list, devxen.Grant{Ref: crb.BufferRef + xen.GrantRef(i), Peer: vtpm, Frame: crb.BufferFrame + i})
	}
	return list
}

// ready tells the toolstack that the device is ready. The frontend's directory goes first:
// xen-tpmfront would make a second TPM of it. Once the guest runs the device is reported
// as closed, so that the toolstack does not wait for it at the guest's end.
func (g *guest) ready(ctx context.Context, memory Guest) error {
	store := g.Domain.Store
	if s, err := xenbus.ReadState(ctx, store, g.base+"/state"); err != nil || s == xenbus.Closed || s == xenbus.Gone {
		return err
	}
	front, err := store.Read(ctx, g.base+"/frontend")
	if err != nil {
		return err
	}
	if err := store.Remove(ctx, front); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return err
	}
	at, _, err := memory.Registers(0)
	if err != nil {
		return err
	}
	if err := g.setState(ctx, xenbus.InitWait); err != nil {
		return err
	}
	g.closing.Do(func() {
		go func() {
			if err := g.closeOnceRunning(ctx, memory, at.RIP); err != nil && ctx.Err() == nil {
				g.Log("domain %d: %v", g.id, err)
			}
		}()
	})
	return nil
}

// closeOnceRunning reports the device as closed when the guest has left the instruction at
// which it is.
func (g *guest) closeOnceRunning(ctx context.Context, memory Guest, at uint64) error {
	for {
		if r, _, err := memory.Registers(0); err != nil {
			return err
		} else if r.RIP != at {
			return g.setState(ctx, xenbus.Closed)
		}
		select {
		case <-time.After(runPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setState writes the state of the backend, unless the toolstack has removed it.
func (g *guest) setState(ctx context.Context, s xenbus.State) error {
	return g.Domain.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		if _, err := t.Read(ctx, g.base+"/state"); err != nil {
			return err
		}
		return t.Write(ctx, g.base+"/state", strconv.Itoa(int(s)))
	})
}
