// Package bzimage puts a Linux kernel and its initrd into memory for the kernel's 64-bit
// entry (Linux, Documentation/arch/x86/boot.rst, "64-bit boot protocol"; the structure
// boot_params is in arch/x86/include/uapi/asm/bootparam.h).
//
// It writes to the memory that it is given and to nothing else:
//
//	0         boot_params, descriptor table and stack, command line, page tables: 9 pages
//	...       the file's setup part, so that its kernel begins at the next boundary
//	boundary  the kernel, and what it needs to unpack itself (init_size)
//	after it  the initrds, one after the other, each from a multiple of 4 bytes on
package bzimage
