//go:build !tamago

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "loader: runs as a guest's kernel on Xen only; make images builds it")
	os.Exit(1)
}
