// Package hwtpm is all that touches the hardware TPM: the manager's root key
// sealed in it, the NV indices that keep old disks from being taken, its random
// bytes and its PCRs.
//
// What is secret or trusted goes through sessions that are salted to the
// TPM's storage key, whose name is pinned: an attacker on the bus can break a
// command, and learns and changes nothing else. Each use frees what it loaded.
// A TPM that was reset is started again; one that does not answer gives an
// error, and works again when it does.
//
// The package has no build tag and runs anywhere.
package hwtpm
