// Package hvm accesses Xen from a PVH domain without an operating system, through
// hypercalls, the shared information page, the grant table and the rings of
// xenstore and console. [Events] and [Grants] implement the interfaces of package
// xen.
//
// Code that makes hypercalls has the build tag tamago; the rest has none and runs
// anywhere. The domain's virtual addresses are its physical addresses. The board
// chooses the addresses at which pages are mapped (Places), maps them (Mapper) and
// calls Upcall.Handle and Events.Deliver on interrupts.
package hvm
