//go:build tamago

// Vtpm is the unikernel of one guest's TPM 2.0. docs/architecture.md tells how
// it is started; the service package, what it does.
package main

import (
	"stubtpm/stubdom/service"
	"stubtpm/stubdom/unikernel"
)

func main() { unikernel.Main("vtpm", service.VTPM) }
