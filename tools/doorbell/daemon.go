package doorbell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/image/launch"
	"stubtpm/tools/xenlife"
)

// A Guest is what a Daemon needs of a guest's domain; devxen.Memory has it.
type Guest interface {
	io.ReaderAt
	io.WriterAt
	Populate(frames ...uint64) error
	Map(frame uint64) (xen.MappedPage, error)
	Seed(grants ...devxen.Grant) error
	Registers(vcpu int) (devxen.Registers, bool, error)
	Restored() (bool, error)
	Pause() error
	Unpause() error
	Close() error
}

// A Daemon serves all guests of a host that have a vtpm device with the backend in dom0.
type Daemon struct {
	Domain xenbus.Domain // of dom0
	// Manager is the name of the manager's domain, by which vTPMs are found.
	Manager string

	OpenGuest    func(id xen.DomID) (Guest, error)
	CreateServer func(id xen.DomID, first, last uint16, created func(server uint16) error) (IOServer, error)
	OpenServer   func(id xen.DomID, server uint16) (IOServer, error)

	// NotRun returns an error unless a domain is paused and has never run.
	NotRun func(ctx context.Context, id xen.DomID) error

	// Destroy destroys a domain that could not be measured.
	Destroy func(ctx context.Context, id xen.DomID) error

	// ReportMeasured reports to the manager that a guest with a vTPM was created, and the
	// SHA-256 of the program in its memory. If it is nil nothing is measured. After
	// ErrNotTaken the guest is destroyed; after other errors it is called again.
	ReportMeasured func(ctx context.Context, id xen.DomID, uuid string, program [32]byte) error

	// ReportRestored reports to the manager that a guest with a vTPM was restored from an
	// image that has a token. If it is nil, restored guests find PCRs that say that this is
	// not their start. Its errors are as those of ReportMeasured.
	ReportRestored func(ctx context.Context, id xen.DomID, uuid string, token [crb.TokenSize]byte) error

	// Lost is closed once Domain has no more events; nil if that is never known.
	Lost <-chan struct{}

	Log func(format string, args ...any)

	known launch.Cache // of what was measured before
	// hashing has a value for each guest that is being hashed: no more than processors.
	hashing chan struct{}
}

// backends is where the toolstack creates the devices.
const backends = "/local/domain/0/backend/vtpm"

// watched are the nodes whose changes matter: devices, and the toolstack's own record of
// all of them, in which a vTPM's domain is found.
var watched = []string{backends, "/libxl", "@releaseDomain"}

// ErrNoEvents is returned once the system passes on no more events of guests.
var ErrNoEvents = errors.New("doorbell: no more events: /dev/xen/evtchn failed")

// Run serves guests until ctx, the connection to xenstore, or the events end. It leaves the guests as
// they are, for another process.
func (d *Daemon) Run(ctx context.Context) error {
	d.hashing = make(chan struct{}, runtime.GOMAXPROCS(0))
	guests := map[string]*guest{}
	ended := make(chan *guest)
	defer func() {
		for _, g := range guests {
			g.stop()
		}
		for range guests {
			<-ended
		}
	}()
	news, lost := make(chan struct{}, 1), make(chan struct{}, len(watched))
	for _, path := range watched {
		w, err := d.Domain.Store.Watch(ctx, path)
		if err != nil {
			return fmt.Errorf("doorbell: %w", err)
		}
		go func() {
			for range w.C() {
				select {
				case news <- struct{}{}:
				default:
				}
			}
			lost <- struct{}{}
		}()
	}
	for {
		if err := d.scan(ctx, guests, ended); err != nil {
			return fmt.Errorf("doorbell: %w", err)
		}
		select {
		case <-news:
		case <-lost:
			return xenstore.ErrClosed
		case <-d.Lost:
			return ErrNoEvents
		case g := <-ended:
			g.stop()
			delete(guests, g.base)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// scan starts and stops guests, and tells each one which domain its vTPM has.
func (d *Daemon) scan(ctx context.Context, guests map[string]*guest, ended chan<- *guest) error {
	devices, err := d.devices(ctx)
	if err != nil {
		return err
	}
	vtpms, err := d.vtpms(ctx)
	if err != nil {
		return err
	}
	for base, g := range guests {
		if _, there := devices[base]; !there {
			g.stop()
		}
	}
	for base, g := range devices {
		if guests[base] == nil {
			gctx, stop := context.WithCancel(ctx)
			g.stop = stop
			guests[base] = g
			go func() {
				if err := g.run(gctx); err != nil && gctx.Err() == nil {
					d.Log("domain %d: %v", g.id, err)
					select { // do not try again at once
					case <-time.After(retryDelay):
					case <-gctx.Done():
					}
				}
				ended <- g
			}()
		}
		vtpm := vtpms[guests[base].uuid]
		// A vTPM that is being connected to another manager has no device meanwhile.
		if now := xen.DomID(guests[base].vtpm.Load()); vtpm == 0 && now != 0 && d.exists(ctx, now) {
			vtpm = now
		}
		guests[base].look(vtpm)
	}
	return nil
}

// exists reports whether a domain exists.
func (d *Daemon) exists(ctx context.Context, id xen.DomID) bool {
	_, err := d.Domain.Store.Read(ctx, fmt.Sprintf("/local/domain/%d/name", id))
	return err == nil
}

// devices lists the devices of dom0 whose toolstack wants them.
func (d *Daemon) devices(ctx context.Context) (map[string]*guest, error) {
	store, found := d.Domain.Store, map[string]*guest{}
	ids, err := store.Directory(ctx, backends)
	if errors.Is(err, xenstore.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	for _, n := range ids {
		id, err := strconv.ParseUint(n, 10, 15)
		if err != nil {
			continue
		}
		handles, err := store.Directory(ctx, backends+"/"+n)
		if err != nil || len(handles) == 0 {
			continue // removed meanwhile
		}
		// A guest has one TPM.
		base := backends + "/" + n + "/" + handles[0]
		uuid, err := store.Read(ctx, base+"/uuid")
		if err != nil {
			continue
		}
		if !d.exists(ctx, xen.DomID(id)) {
			continue
		}
		found[base] = &guest{Daemon: d, id: xen.DomID(id), base: base, uuid: uuid, news: make(chan struct{}, 1)}
	}
	return found, nil
}

// vtpms finds the domains of vTPMs, by UUID: those whose own device has the manager as
// backend.
func (d *Daemon) vtpms(ctx context.Context) (map[string]xen.DomID, error) {
	list, err := xenlife.Frontends(ctx, d.Domain.Store)
	if err != nil {
		return nil, err
	}
	found := map[string]xen.DomID{}
	for _, f := range list {
		name, err := d.Domain.Store.Read(ctx, fmt.Sprintf("/local/domain/%d/name", f.Backend))
		if err != nil || name != d.Manager {
			continue
		}
		if d.exists(ctx, f.Domain) {
			found[f.UUID] = f.Domain
		}
	}
	return found, nil
}
