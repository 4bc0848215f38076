package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A requirement is a file and the Debian package that has it.
type requirement struct {
	file, pkg string
}

// requirements are what the lab needs on the host to emulate a machine.
var requirements = [...]requirement{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"/usr/share/seabios/bios-256k.bin", "seabios"},
	{"swtpm", "swtpm"},
	{"swtpm_setup", "swtpm-tools"},
}

// requirements are what the lab takes from the distribution.
func (d Distribution) requirements() []requirement {
	list := []requirement{
		{d.xenDir() + "/xl", "xen-utils-" + d.xen()},
		{"/usr/bin/xenstore-read", "xenstore-utils"},
		{"/usr/bin/tpm2", "tpm2-tools"},
		{"/sbin/dmsetup", "dmsetup"},
		{"/bin/busybox", "busybox-static"},
	}
	if d == Trixie {
		list = append(list, requirement{"/usr/bin/systemd-cryptsetup", "systemd-cryptsetup"},
			requirement{"/usr/lib/systemd/systemd-pcrlock", "systemd"})
	}
	return list
}

// Missing returns a line for each program or file that the lab needs for a distribution
// and that is not there, with the Debian package and the command that gets it.
func Missing(d Distribution) []string {
	var lines []string
	for _, r := range requirements {
		var err error
		if filepath.IsAbs(r.file) {
			_, err = os.Stat(r.file)
		} else {
			_, err = exec.LookPath(r.file)
		}
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s (Debian package %s; make deps)", r.file, r.pkg))
		}
	}
	for _, r := range d.requirements() {
		if _, err := os.Stat(filepath.Join(d.root(), r.file)); err != nil {
			lines = append(lines, fmt.Sprintf("%s of %s (package %s; %s)", r.file, d, r.pkg, d.get()))
		}
	}
	if _, err := d.hypervisor(); err != nil {
		lines = append(lines, err.Error())
	}
	if _, err := d.kernel(); err != nil {
		lines = append(lines, fmt.Sprintf("%v (%s)", err, d.get()))
	}
	return lines
}
