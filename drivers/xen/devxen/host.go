//go:build linux && !tamago

package devxen

import (
	"errors"
	"fmt"
	"os"

	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A Host is the set of open devices.
type Host struct {
	events *events
	grants *grants
	store  *xenstore.Client
}

// Open opens the devices. If one does not exist, its kernel module may have to be
// loaded (xen-evtchn, xen-gntdev, xen-gntalloc).
func Open() (*Host, error) {
	var files []*os.File
	for _, name := range []string{"evtchn", "gntdev", "gntalloc", "xenbus"} {
		f, err := os.OpenFile("/dev/xen/"+name, os.O_RDWR, 0)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("devxen: %w", err)
		}
		files = append(files, f)
	}
	events, err := newEvents(files[0])
	if err != nil {
		closeAll(files)
		return nil, fmt.Errorf("devxen: %w", err)
	}
	return &Host{
		events: events,
		grants: &grants{mapper: files[1], sharer: files[2]},
		store:  xenstore.NewClient(serialize(files[3])),
	}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Lost is closed once no more events come, since the device failed or the host was closed. All
// channels are closed before.
func (h *Host) Lost() <-chan struct{} { return h.events.done }

// Domain returns the interfaces that drivers use.
func (h *Host) Domain() xenbus.Domain {
	return xenbus.Domain{Events: h.events, Grants: h.grants, Store: h.store}
}

// Close closes the devices and all ports. Mapped and shared pages stay until they
// are released or the process ends.
func (h *Host) Close() error {
	return errors.Join(h.store.Close(), h.events.close(), h.grants.mapper.Close(), h.grants.sharer.Close())
}
