// Package xentest is a Xen host in memory for tests: domains with event channels,
// grants and a xenstore, between goroutines of one program.
//
// Its xenstored was written from xs_wire.h, independently of the client in package
// xenstore, so that an error in one does not hide the same error in the other.
package xentest
