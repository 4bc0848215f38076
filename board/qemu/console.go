//go:build tamago

package qemu

import _ "unsafe" // for go:linkname

//go:nosplit
//go:linkname printk runtime/goos.Printk
func printk(c byte) { transmit(c) }

// transmit writes a byte to COM1, after it has waited for room.
func transmit(c byte)
