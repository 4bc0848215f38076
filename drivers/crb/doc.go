// Package crb has a TPM's Command Response Buffer in a guest's memory, and its other
// end in the TPM's domain. [Server] serves the control areas of all guests of a
// domain; [Client] is what the guest's firmware and the host have of a driver.
//
// The interface is that of the TCG PC Client Platform TPM Profile (PTP), section 6.5.3,
// with start method 2, "ACPI Start" (TCG ACPI Specification 1.4, table 9): the control
// area is ordinary memory, and the guest's ACPI method tells the TPM of a command.
// Linux's driver tpm_crb uses it without changes. Here the method writes to an I/O port,
// a doorbell, which a process of the control domain answers. Control area and buffer are
// pages of the guest that its grant table shares with the TPM's domain, which can reach
// no other memory of it.
//
// The package has no build tag and runs anywhere.
package crb
