package main

import (
	"cmp"
	"fmt"

	"stubtpm/image"
)

// A filesView lists written files in JSON.
type filesView struct {
	Written []string `json:"written"`
}

// xlConfig writes the xl configurations for one guest's TPM.
func xlConfig(m *mgrRun) error {
	if m.o.managerDisk == "" || m.o.vtpmDisk == "" {
		return fmt.Errorf("%w: --manager-disk and --vtpm-disk are required", errUsage)
	}
	s := image.Set{Guest: m.args[0], UUID: m.args[1], ManagerDisk: m.o.managerDisk, VTPMDisk: m.o.vtpmDisk,
		ManagerName: m.o.domain, ManagerExtra: m.o.words, VTPMExtra: m.o.vtpmWords, IOMem: m.o.iomem}
	files, err := s.Write(cmp.Or(m.o.output, image.ConfigDir))
	if err != nil {
		return err
	}
	return m.print(filesView{append([]string{}, files...)}, func() {
		for _, f := range files {
			fmt.Fprintln(m.out, f)
		}
	})
}
