// Package movehost is what package xenmove needs of a Xen host: its domains, records of moves,
// the programs of xl, and the vTPM of a guest with its manager.
//
//	Guests    domains, by hypercalls and xl
//	Dir       records and locks, in a directory that is empty after a restart of the machine
//	Programs  xl migrate and xl migrate-receive, and the link to the other host
//	Leaving   a vTPM that leaves: its domain is frozen, its manager sends it away
//	Arriving  a vTPM that comes: its disk is written, its manager takes it, its domain starts
//
// It runs in dom0 on Linux, as root.
package movehost
