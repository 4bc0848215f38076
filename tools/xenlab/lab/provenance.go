package lab

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stubtpm/tools/initramfs"
)

// A KernelFile is a file of the guests' kernel package on the host.
type KernelFile struct {
	Path   string // in the guest, and in Debian's package
	SHA256 string // of the host's file, in hexadecimal
	// Debian is whether the package's own list has the file's MD5 sum. (Debian's
	// packages list MD5: it detects accidental changes, not forgery.)
	Debian bool
}

// KernelModule returns a module's file and compares it with the sums in its Debian
// package, if that is installed on the host.
func (m *Machine) KernelModule(relative string) (KernelFile, error) {
	k := m.kernel
	f := KernelFile{Path: filepath.Join("/lib/modules", k.Version, relative)}
	b, err := os.ReadFile(filepath.Join(k.Modules, relative))
	if err != nil {
		return f, fmt.Errorf("lab: %w", err)
	}
	s := sha256.Sum256(b)
	f.SHA256 = hex.EncodeToString(s[:])
	sum := md5.Sum(b)
	want := hex.EncodeToString(sum[:]) + "  " + strings.TrimPrefix(f.Path, "/") + "\n"
	lists := []string{
		"/var/lib/dpkg/info/linux-image-" + k.Version + ".md5sums",
		filepath.Join(initramfs.InRepository(initramfs.Sysroot), "md5sums"),
	}
	for _, l := range lists {
		list, err := os.ReadFile(l)
		if err == nil && strings.Contains(string(list), want) {
			f.Debian = true
		}
	}
	return f, nil
}
