// Package xenstore is a client of xenstored, Xen's configuration store. The
// connection is any byte stream: the ring of a bare-metal domain, or
// /dev/xen/xenbus of a Linux domain.
//
// It implements the protocol of Xen's public/io/xs_wire.h and
// docs/misc/xenstore.txt. It has no build tag and runs anywhere.
package xenstore
