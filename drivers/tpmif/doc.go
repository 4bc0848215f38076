// Package tpmif has both ends of Xen's TPM ring: a page shared by a guest and
// its TPM that carries one command at a time. [Frontend] is the guest's end,
// [Server] the backend of all TPM devices of a domain.
//
// It implements Xen's public/io/tpmif.h, protocol version 2, as all known
// implementations do: the packet follows the list of extra pages, although the
// header's comment places it at offset 16. It has no build tag and runs
// anywhere.
package tpmif
