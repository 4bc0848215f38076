//go:build tamago

// Vtpmmgr is the unikernel of the vTPM manager, the only owner of the hardware TPM:
// service.Manager on board/xen, with the driver of the hardware TPM. docs/architecture.md
// describes its start.
package main

import (
	"context"
	"fmt"

	board "stubtpm/board/xen"
	"stubtpm/drivers/tpmhw"
	"stubtpm/stubdom/service"
	"stubtpm/stubdom/unikernel"
)

func main() { unikernel.Main("vtpmmgr", manager) }

// manager opens the hardware TPM at its usual registers, or at a control area elsewhere in
// memory, and runs the manager. The domain's configuration must map them:
// iomem=["fed40,5"], or what stubtpm-host tpm-info prints.
func manager(ctx context.Context, e *service.Environment) error {
	tpm, at, err := open(e)
	if err != nil {
		return fmt.Errorf("hardware TPM: %w", err)
	}
	defer tpm.Close()
	e.Log("hardware TPM at %#x", at)
	return service.Manager(ctx, e, tpm)
}

func open(e *service.Environment) (tpm tpmhw.TPM, at uint64, err error) {
	at, given, err := e.ControlArea()
	if err != nil {
		return nil, 0, err
	}
	if given {
		tpm, err = tpmhw.OpenControlArea(at, memory)
		return tpm, at, err
	}
	regs, err := board.MapMMIO(tpmhw.Base, tpmhw.Size/4096)
	if err != nil {
		return nil, 0, err
	}
	tpm, err = tpmhw.Open(regs, memory)
	return tpm, tpmhw.Base, err
}

// memory maps a buffer of the TPM, with the pages around it.
func memory(addr uint64, size int) (tpmhw.Registers, error) {
	const page = 4096
	first := addr &^ (page - 1)
	last := (addr + uint64(size) + page - 1) &^ (page - 1)
	regs, err := board.MapMMIO(first, int((last-first)/page))
	if err != nil {
		return nil, err
	}
	return tpmhw.Window(regs, int(addr-first)), nil
}
