package initramfs

import (
	"os"
	"path/filepath"
)

// Directories of the repository in which tools/deps unpacks the packages that are not to
// be installed: a hypervisor and a kernel would change what the host boots, and Debian 13
// is another system than the host.
const (
	Sysroot       = "build/sysroot"
	SysrootTrixie = "build/sysroot-trixie"
)

// Roots are where a hypervisor, a kernel and its modules are looked for: the
// host itself, then Sysroot.
func Roots() []string { return []string{"/", InRepository(Sysroot)} }

// InRepository returns the path of a file of the repository from any directory in it,
// since tests run in their own.
func InRepository(name string) string {
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, name)
		}
		if abs, err := filepath.Abs(dir); err != nil || abs == "/" {
			return name
		}
	}
}
