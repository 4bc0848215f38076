//go:build tamago

package main

import _ "unsafe" // for go:linkname

// heapLimit is the runtime's memory; the rest of the domain's is for the kernel. It holds
// the tables of file systems, but no file that is booted.
//
//go:linkname heapLimit stubtpm/board/pvh.heapLimit
var heapLimit uint64 = 48 << 20

// polled leaves the domain's interrupts to the kernel.
//
//go:linkname polled stubtpm/board/xen.polled
var polled = true
