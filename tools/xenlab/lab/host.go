// Package lab runs a real Xen with a software TPM as its hardware TPM inside
// QEMU, and drives its dom0 and its guests: Debian's Xen 4.17 and kernel, both
// unmodified, each machine's root file system an initramfs made from the
// packages installed on this host (package initramfs).
//
// It runs on Linux on amd64 without root; the programs it needs are listed by
// Missing.
package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A requirement is a file of the host and the Debian package that has it.
type requirement struct {
	file, pkg string
}

var requirements = [...]requirement{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"/usr/share/seabios/bios-256k.bin", "seabios"},
	{"/boot/xen-4.17-amd64.gz", "xen-hypervisor-4.17-amd64"},
	{"/usr/lib/xen-4.17/bin/xl", "xen-utils-4.17"},
	{"/usr/bin/xenstore-read", "xenstore-utils"},
	{"/boot/vmlinuz-*", "linux-image-amd64"},
	{"swtpm", "swtpm"},
	{"/usr/bin/tpm2", "tpm2-tools"},
	{"/bin/busybox", "busybox-static"},
}

// Missing returns a line for each program or file that the lab needs and that
// this host does not have, with the Debian package to install.
func Missing() []string {
	var lines []string
	for _, r := range requirements {
		if !present(r.file) {
			lines = append(lines, fmt.Sprintf("%s (Debian package %s)", r.file, r.pkg))
		}
	}
	return lines
}

func present(file string) bool {
	if !filepath.IsAbs(file) {
		_, err := exec.LookPath(file)
		return err == nil
	}
	if strings.ContainsAny(file, "*") {
		m, err := filepath.Glob(file)
		return err == nil && len(m) > 0
	}
	_, err := os.Stat(file)
	return err == nil
}
