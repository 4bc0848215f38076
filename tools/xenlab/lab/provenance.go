package lab

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A KernelFile is a file of the guests' kernel package on the host.
type KernelFile struct {
	Path   string // in the guest, and in Debian's package
	SHA256 string // of the host's file, in hexadecimal
	// Debian is whether the package's own list has the file's MD5 sum. (Debian's
	// packages list MD5: it detects accidental changes, not forgery.)
	Debian bool
}

// KernelModule returns the file of a module, by its path without Debian 13's ".xz", and
// compares it with the sums in its Debian package, if that is at hand.
func (m *Machine) KernelModule(relative string) (KernelFile, error) {
	k := m.kernel
	b, err := os.ReadFile(filepath.Join(k.Modules, relative))
	if errors.Is(err, fs.ErrNotExist) {
		relative += ".xz"
		b, err = os.ReadFile(filepath.Join(k.Modules, relative))
	}
	f := KernelFile{Path: filepath.Join("/lib/modules", k.Version, relative)}
	if err != nil {
		return f, fmt.Errorf("lab: %w", err)
	}
	s := sha256.Sum256(b)
	f.SHA256 = hex.EncodeToString(s[:])
	// Debian 13's package names the file below /usr.
	sum := fmt.Sprintf("%x  ", md5.Sum(b))
	for _, file := range m.opt.Distribution.sums(k) {
		list, err := os.ReadFile(file)
		for _, prefix := range []string{"", "usr/"} {
			f.Debian = f.Debian || err == nil && strings.Contains(string(list), sum+prefix+strings.TrimPrefix(f.Path, "/")+"\n")
		}
	}
	return f, nil
}
