package xenlife

import (
	"fmt"
	"strings"
)

// A VTPMConfig is what the configuration of a vTPM's domain says.
type VTPMConfig struct {
	Name string
	UUID string // of the vTPM
	Disk string // path of its only disk in dom0
}

// ReadVTPMConfig reads a configuration of xl.
func ReadVTPMConfig(file string) (v VTPMConfig, err error) {
	c, err := readConfig(file)
	if err != nil {
		return v, err
	}
	if v.Name, err = c.name(); err != nil {
		return v, fmt.Errorf("%s: %w", file, err)
	}
	v.UUID = c.vtpm("uuid")
	if len(c["disk"]) == 1 {
		v.Disk, _, _ = strings.Cut(c["disk"][0], ",")
	}
	if v.UUID == "" || !strings.HasPrefix(v.Disk, "/") {
		return v, fmt.Errorf("%s: %w: want a vtpm with a uuid, and one disk that begins with its path", file, errConfig)
	}
	return v, nil
}
