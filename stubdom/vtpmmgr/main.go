//go:build tamago

// Vtpmmgr is the unikernel of the vTPM manager, which alone holds the hardware
// TPM. docs/architecture.md tells how it is started; the service package, what
// it does.
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

// manager takes the hardware TPM by its registers, which the domain's
// configuration maps: iomem=["fed40,5"].
func manager(ctx context.Context, e *service.Environment) error {
	regs, err := board.MapMMIO(tpmhw.Base, tpmhw.Size/4096)
	if err != nil {
		return fmt.Errorf("hardware TPM: %w", err)
	}
	tpm, err := tpmhw.Open(regs)
	if err != nil {
		return fmt.Errorf("hardware TPM: %w", err)
	}
	defer tpm.Close()
	e.Log("hardware TPM at %#x", tpmhw.Base)
	return service.Manager(ctx, e, tpm)
}
