//go:build tamago

package xen

import (
	"sync/atomic"
	"unsafe"

	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

// ReadConsole returns a byte that was typed at the console, and reports whether there was
// one. It is not safe for concurrent use.
func ReadConsole() (c byte, ok bool) {
	if console.page == nil {
		return 0, false
	}
	cons, prod := atomic.LoadUint32(consoleWord(abi.ConsoleInCons)), atomic.LoadUint32(consoleWord(abi.ConsoleInProd))
	if cons == prod {
		return 0, false
	}
	c = *(*byte)(unsafe.Add(unsafe.Pointer(console.page), abi.ConsoleIn+cons%abi.ConsoleInSize))
	atomic.StoreUint32(consoleWord(abi.ConsoleInCons), cons+1)
	hvm.SendRaw(console.port)
	return c, true
}
