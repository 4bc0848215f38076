//go:build tamago

// Vtpm is the unikernel of one guest's TPM 2.0: service.VTPM on board/xen.
// docs/architecture.md describes its start.
package main

import (
	"stubtpm/stubdom/service"
	"stubtpm/stubdom/unikernel"
)

func main() { unikernel.Main("vtpm", service.VTPM) }
