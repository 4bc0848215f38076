//go:build tamago

package qemu

import _ "unsafe" // for go:linkname

//go:nosplit
//go:linkname printk runtime/goos.Printk
func printk(c byte) { transmit(c) }

// defined in port_amd64.s
func transmit(c byte)
func out8(port uint16, v uint8)
func out32(port uint16, v uint32)
