//go:build tamago

package xen

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

type sig = os.Signal

var (
	events *hvm.Events
	grants *hvm.Grants
	tables mapper
)

// CommandLine returns the domain's command line (cmdline or extra of xl.cfg).
func CommandLine() string { return pvh.CommandLine() }

// DomID returns this domain's id, as Xen reported it at start.
func DomID() xen.DomID { return xen.DomID(machine.domid) }

// Version returns Xen's version.
func Version() (major, minor int) { return int(machine.version >> 16), int(machine.version & 0xffff) }

// Started returns the time at which this domain's first code ran.
func Started() time.Time { return time.Unix(0, clock.start) }

// Events returns this domain's event channels.
func Events() xen.Events { return events }

// Grants returns this domain's grants.
func Grants() xen.Grants { return grants }

// mapper changes the board's page tables. It is safe for concurrent use.
type mapper struct {
	mu sync.Mutex
}

func (m *mapper) Map(addr uint64, pages int) error { return m.mapAs(addr, pages, pvh.WriteBack) }

func (m *mapper) mapAs(addr uint64, pages int, attr pvh.Attr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pvh.Map(addr, pages, attr)
}

func (m *mapper) Unmap(addr uint64, pages int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pvh.Unmap(addr, pages)
}

var errNoStore = errors.New("xen: this domain has no xenstore")

// StoreRing returns the connection to xenstore. It must be called at most once.
// It returns an error if the domain has none, as dom0 before xenstored runs; page 0
// must not be mapped then, since nil dereferences must fault.
func StoreRing() (io.ReadWriteCloser, error) {
	addr := hvm.Param(abi.ParamStorePFN) * pageSize
	if addr == 0 {
		return nil, errNoStore
	}
	if err := tables.Map(addr, 1); err != nil {
		return nil, err
	}
	c, err := events.Adopt(xen.Port(hvm.Param(abi.ParamStoreEvtchn)))
	if err != nil {
		return nil, err
	}
	return hvm.NewStoreRing(pageAt(addr), c), nil
}
