// Package doorbell gives guests a TPM 2.0 that a stock kernel finds by itself: ACPI
// tables, a control area in the guest's memory, and a doorbell. It runs in dom0.
//
// A guest has such a TPM if its configuration has
//
//	vtpm = [ "backend=Domain-0,uuid=UUID" ]
//
// with the UUID of its vTPM. The toolstack then creates a backend in dom0 after it has
// built the guest and before the guest runs, also after a reboot and a restore, and waits
// until that is ready. Meanwhile the [Daemon] puts the pages and tables into the guest's
// memory, shares the pages with the domain of the vTPM, and measures what the guest will
// run. From then on it answers the doorbell only: an access of the guest to an I/O port.
// It passes that on to the vTPM's domain, and sees no command and no response.
//
// What the daemon has done is in the guest's memory and in xenstore, so that another
// process can take over after it has ended. The virtual processor of a guest that rings
// meanwhile waits for that.
package doorbell
