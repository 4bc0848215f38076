//go:build tamago

// Selftest is a unikernel that proves the port of the runtime.
package main

import (
	"fmt"
	"os"

	_ "stubtpm/board/qemu"
)

func main() {
	fmt.Println("hello from bare metal")
	os.Exit(0)
}
