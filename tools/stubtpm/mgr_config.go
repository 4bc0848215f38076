package main

import (
	"fmt"

	"stubtpm/image"
)

// xlConfig writes the configurations that a host needs for one guest's TPM.
func xlConfig(m *mgrRun) error {
	if m.o.managerDisk == "" || m.o.vtpmDisk == "" {
		return fmt.Errorf("%w: -manager-disk and -vtpm-disk are needed", errUsage)
	}
	s := image.Set{Guest: m.args[0], UUID: m.args[1], ManagerDisk: m.o.managerDisk, VTPMDisk: m.o.vtpmDisk,
		ManagerName: m.o.domain, ManagerExtra: m.o.words}
	files, err := s.Write(or(m.o.output, image.ConfigDir))
	if err != nil {
		return err
	}
	return m.print(map[string]any{"written": append([]string{}, files...)}, func() {
		for _, f := range files {
			fmt.Fprintln(m.out, f)
		}
	})
}
