package initramfs

import (
	"os"
	"path/filepath"
)

// Sysroot is where make deps unpacks the packages that are not to be installed
// on the host: a hypervisor and a kernel would change what it boots.
const Sysroot = "build/sysroot"

// Roots are where a hypervisor, a kernel and its modules are looked for: the
// host itself, then Sysroot.
func Roots() []string { return []string{"/", SysrootPath()} }

// SysrootPath finds Sysroot from any directory of the repository, since tests run
// in their own.
func SysrootPath() string {
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, Sysroot)
		}
		if abs, err := filepath.Abs(dir); err != nil || abs == "/" {
			return Sysroot
		}
	}
}
