package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stubtpm/tools/initramfs"
)

// A Distribution is the release of Debian whose Xen, kernel and programs a machine runs.
type Distribution int

const (
	// Bookworm is Debian 12 with Xen 4.17 and Linux 6.1. Programs are those that are
	// installed on the host, which must be Debian 12, too.
	Bookworm Distribution = iota
	// Trixie is Debian 13 with Xen 4.20 and Linux 6.12. All is taken from packages
	// that `go run ./tools/deps -for trixie` unpacks.
	Trixie
)

// Release returns the distribution of a release's name, bookworm or trixie.
func Release(name string) (Distribution, error) {
	switch name {
	case "bookworm":
		return Bookworm, nil
	case "trixie":
		return Trixie, nil
	}
	return 0, fmt.Errorf("lab: no release %q: there are bookworm and trixie", name)
}

func (d Distribution) String() string {
	if d == Trixie {
		return "Debian 13"
	}
	return "Debian 12"
}

// xen is the version of Xen in the names of Debian's packages and directories.
func (d Distribution) xen() string {
	if d == Trixie {
		return "4.20"
	}
	return "4.17"
}

// xenDir is where Debian keeps the programs of its Xen.
func (d Distribution) xenDir() string { return "/usr/lib/xen-" + d.xen() + "/bin" }

// get is the command that gets the packages.
func (d Distribution) get() string {
	if d == Trixie {
		return "go run ./tools/deps -for trixie"
	}
	return "make deps"
}

// root is the root of the system that programs and libraries are taken from.
func (d Distribution) root() string {
	if d == Trixie {
		return initramfs.InRepository(initramfs.SysrootTrixie)
	}
	return "/"
}

// roots are where the hypervisor and the kernel are looked for.
func (d Distribution) roots() []string {
	if d == Trixie {
		return []string{d.root()}
	}
	return initramfs.Roots()
}

// archive returns an empty archive that takes its programs from the distribution.
func (d Distribution) archive() (*initramfs.Archive, error) { return initramfs.From(d.root()) }

func (d Distribution) kernel() (initramfs.Kernel, error) { return initramfs.FindKernel(d.roots()...) }

// hypervisor returns the path of Debian's Xen.
func (d Distribution) hypervisor() (string, error) {
	file := "boot/xen-" + d.xen() + "-amd64.gz"
	for _, r := range d.roots() {
		p := filepath.Join(r, file)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("lab: no %s in %s (%s)", file, strings.Join(d.roots(), ", "), d.get())
}

// sums are the files that may have the MD5 sums of a kernel's package.
func (d Distribution) sums(k initramfs.Kernel) []string {
	files := []string{filepath.Join(d.root(), "var/lib/dpkg/info/linux-image-"+k.Version+".md5sums")}
	for _, r := range d.roots() {
		files = append(files, filepath.Join(r, "md5sums"))
	}
	return files
}
