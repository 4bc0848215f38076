package xenlife

import (
	"fmt"
	"strconv"
)

// A Launch is what an xl configuration states about how a guest starts.
type Launch struct {
	Kernel      string // name of a file
	Ramdisk     string // name of a file, "" without one
	CommandLine string
	Memory      uint64 // MiB
	VCPUs       uint32
	UUID        string // "" if xl chooses one
}

// ReadLaunch reads the settings of a PVH guest from an xl configuration. It returns
// an error for a configuration of another type, or without kernel or memory.
func ReadLaunch(file string) (Launch, error) {
	c, err := readConfig(file)
	if err != nil {
		return Launch{}, err
	}
	l, err := c.launch()
	if err != nil {
		return Launch{}, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

func (c config) launch() (l Launch, err error) {
	values := map[string]string{}
	for _, name := range []string{"type", "kernel", "ramdisk", "cmdline", "root", "extra", "memory", "vcpus", "uuid"} {
		if values[name], err = c.text(name); err != nil {
			return l, err
		}
	}
	if values["type"] != "pvh" || values["kernel"] == "" {
		return l, fmt.Errorf("%w: want type=\"pvh\" and a kernel", errConfig)
	}
	if values["vcpus"] == "" {
		values["vcpus"] = "1"
	}
	memory, err := strconv.ParseUint(values["memory"], 0, 32)
	if err != nil {
		return l, fmt.Errorf("%w: memory: %v", errConfig, err)
	}
	vcpus, err := strconv.ParseUint(values["vcpus"], 0, 32)
	if err != nil {
		return l, fmt.Errorf("%w: vcpus: %v", errConfig, err)
	}
	return Launch{values["kernel"], values["ramdisk"], c.commandLine(values), memory, uint32(vcpus), values["uuid"]}, nil
}

// commandLine returns the command line that xl makes of cmdline, or else of root and
// extra.
func (c config) commandLine(values map[string]string) string {
	root, extra := values["root"], values["extra"]
	switch {
	case len(c["cmdline"]) > 0: // an empty one counts too
		return values["cmdline"]
	case root != "" && extra != "":
		return "root=" + root + " " + extra
	case root != "":
		return "root=" + root
	}
	return extra
}
