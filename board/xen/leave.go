//go:build tamago

package xen

import (
	"errors"
	"fmt"

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen/hvm"
)

// Leave enters another program, which finds the domain as Xen made it: no grants, no
// event channels but those of console and xenstore, and nothing mapped that is not RAM.
// The program must be polled. All devices must be closed, no watch registered and no
// request to xenstore in flight. Leave returns only with an error, before it has changed
// anything.
func Leave(to pvh.Jump) error {
	if !polled {
		return errors.New("xen: a program that has interrupts cannot leave")
	}
	if n := grants.InUse(); n != 0 {
		return fmt.Errorf("xen: %d pages are still shared", n)
	}
	if n := events.Open(); n > 1 {
		return fmt.Errorf("xen: %d event channels are still open", n)
	}
	drain()
	// From here on nothing can be reported. None of these calls can fail but for
	// arguments that Xen does not know, and the next program does not depend on them.
	machine.upcall.Reset()
	grants.Unmap()
	hvm.UnmapFrame(machine.window + sharedInfoOffset)
	to.Enter()
	return nil
}
