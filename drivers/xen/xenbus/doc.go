// Package xenbus is what the two ends of a Xen split driver share: the states
// that they go through in xenstore ([State]), and the frontend's half of the
// handshake by which they connect ([Frontend]).
//
// It implements Xen's public/io/xenbus.h. It has no build tag and runs
// anywhere.
package xenbus
