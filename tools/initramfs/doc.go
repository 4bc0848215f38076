// Package initramfs builds Linux initramfs archives from files of the running
// Debian system, or of another one whose packages are unpacked below a directory: programs with the shared libraries they need, kernel modules
// in the order they must be loaded, and files given as bytes.
//
// The format is cpio "newc" as the kernel reads it
// (Documentation/driver-api/early-userspace/buffer-format.rst). The package mounts
// and executes nothing and creates no device nodes on the host, so it does not need
// root.
package initramfs
