//go:build tamago

package xen

import (
	"io"
	"os"

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

type sig = os.Signal

var events *hvm.Events

// CommandLine returns the domain's command line (cmdline or extra of xl.cfg).
func CommandLine() string { return pvh.CommandLine() }

// DomID returns this domain's id, as Xen told it at start.
func DomID() xen.DomID { return xen.DomID(machine.domid) }

// Version returns Xen's version.
func Version() (major, minor int) { return int(machine.version >> 16), int(machine.version & 0xffff) }

// Events returns this domain's event channels.
func Events() xen.Events { return events }

// StoreRing returns the connection to the store. Call it once.
func StoreRing() (io.ReadWriteCloser, error) {
	addr := hvm.Param(abi.ParamStorePFN) * pageSize
	if err := pvh.Map(addr, 1, pvh.WriteBack); err != nil {
		return nil, err
	}
	c, err := events.Adopt(xen.Port(hvm.Param(abi.ParamStoreEvtchn)))
	if err != nil {
		return nil, err
	}
	return hvm.NewStoreRing(pageAt(addr), c), nil
}
