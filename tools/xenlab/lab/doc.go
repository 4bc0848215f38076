// Package lab runs a real Xen with a software TPM as its hardware TPM inside
// QEMU, and drives its dom0 and its guests: Debian's Xen 4.17 and kernel, both
// unmodified, each machine's root file system an initramfs made from the
// packages installed on this host (package initramfs).
//
// It runs on Linux on amd64 without root; the programs it needs are listed by
// Missing.
package lab
