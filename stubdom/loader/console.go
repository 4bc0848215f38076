//go:build tamago

package main

import (
	"os"
	"time"

	board "stubtpm/board/xen"
)

// console implements menu.Console.
type console struct{}

func (console) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

// Key looks ten times a second.
func (console) Key(wait time.Duration) (byte, bool) {
	for end := time.Now().Add(wait); ; time.Sleep(100 * time.Millisecond) {
		if c, ok := board.ReadConsole(); ok {
			return c, true
		}
		if wait >= 0 && time.Now().After(end) {
			return 0, false
		}
	}
}
