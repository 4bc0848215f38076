package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"stubtpm/tools/initramfs"
)

const hypervisorFile = "boot/xen-4.17-amd64.gz"

// hypervisor returns the path of Debian's Xen.
func hypervisor() (string, error) {
	for _, r := range initramfs.Roots() {
		p := filepath.Join(r, hypervisorFile)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("lab: no %s in %s (make deps)", hypervisorFile, strings.Join(initramfs.Roots(), ", "))
}

// A requirement is a file of the host and the Debian package that has it.
type requirement struct {
	file, pkg string
}

var requirements = [...]requirement{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"/usr/share/seabios/bios-256k.bin", "seabios"},
	{"/usr/lib/xen-4.17/bin/xl", "xen-utils-4.17"},
	{"/usr/bin/xenstore-read", "xenstore-utils"},
	{"swtpm", "swtpm"},
	{"swtpm_setup", "swtpm-tools"},
	{"/usr/bin/tpm2", "tpm2-tools"},
	{"/sbin/dmsetup", "dmsetup"},
	{"/bin/busybox", "busybox-static"},
}

// Missing returns a line for each program or file that the lab needs and that
// this host does not have, with the Debian package to install.
func Missing() []string {
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
	if _, err := hypervisor(); err != nil {
		lines = append(lines, err.Error())
	}
	if _, err := initramfs.FindKernel(); err != nil {
		lines = append(lines, err.Error())
	}
	return lines
}
