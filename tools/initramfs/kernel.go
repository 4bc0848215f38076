package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/mikelolasagasti/xz"
)

// A Kernel is a Linux kernel of this host with its modules.
type Kernel struct {
	Image   string // path of vmlinuz
	Version string // as in /lib/modules
	Modules string // directory of its modules
}

// FindKernel returns the newest Debian kernel with modules below the given
// roots, the first root first; no root means Roots(). "Newest"
// compares the dotted numbers of the version.
func FindKernel(roots ...string) (Kernel, error) {
	if len(roots) == 0 {
		roots = Roots()
	}
	for _, root := range roots {
		images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
		if err != nil {
			return Kernel{}, err
		}
		sort.Slice(images, func(i, j int) bool { return versionLess(images[j], images[i]) })
		for _, img := range images {
			v := strings.TrimPrefix(filepath.Base(img), "vmlinuz-")
			// A package of Debian 13 that is only unpacked may have no /lib.
			for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
				dir := filepath.Join(root, lib, v)
				if _, err := os.Stat(filepath.Join(dir, "kernel")); err == nil && readable(img) {
					return Kernel{Image: img, Version: v, Modules: dir}, nil
				}
			}
		}
	}
	return Kernel{}, fmt.Errorf("%w: a readable kernel in boot/ with its modules (package linux-image-amd64)", ErrNoProgram)
}

func readable(file string) bool {
	f, err := os.Open(file)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// versionLess compares two names, runs of digits as numbers.
func versionLess(a, b string) bool {
	for a != "" && b != "" {
		na, ra := digits(a)
		nb, rb := digits(b)
		switch {
		case na != "" && nb != "":
			na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
			if len(na) != len(nb) {
				return len(na) < len(nb)
			}
			if na != nb {
				return na < nb
			}
			a, b = ra, rb
		case a[0] != b[0]:
			return a[0] < b[0]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) < len(b)
}

func digits(s string) (num, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// AddModules adds the named modules (without ".ko") and what they depend on,
// and returns their paths in the archive in the order to load them. Modules that the
// package has compressed (".ko.xz") stay so.
// Dependencies are read from the modules themselves, so that a kernel package
// need only be unpacked, not installed (which would run depmod).
func (a *Archive) AddModules(k Kernel, names ...string) ([]string, error) {
	files, err := moduleFiles(k.Modules)
	if err != nil {
		return nil, err
	}
	builtin, err := readBuiltin(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	var order []string
	var add func(name string, depth int) error
	add = func(name string, depth int) error {
		name = moduleName(name)
		file, ok := files[name]
		if builtin[name] {
			return nil
		}
		if !ok || depth > 32 {
			return fmt.Errorf("%w: module %s of kernel %s", ErrNoProgram, name, k.Version)
		}
		inside := path.Join("/lib/modules", k.Version, filepath.ToSlash(file))
		if a.Has(inside) {
			return nil
		}
		host := filepath.Join(k.Modules, file)
		deps, err := moduleDeps(host)
		if err != nil {
			return err
		}
		for _, d := range deps {
			if err := add(d, depth+1); err != nil {
				return err
			}
		}
		order = append(order, inside)
		return a.Copy(inside, host)
	}
	for _, n := range names {
		if err := add(n, 0); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleFiles finds the modules below a directory, by name.
func moduleFiles(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(p string, e fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(p, ".ko") || strings.HasSuffix(p, ".ko.xz")) {
			rel, rerr := filepath.Rel(dir, p)
			files[moduleName(p)], err = rel, rerr
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	return files, nil
}

// moduleDeps reads "depends=a,b" from a module's section .modinfo.
func moduleDeps(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err == nil && strings.HasSuffix(file, ".xz") {
		b, err = unpackXZ(b)
	}
	if err != nil {
		return nil, fmt.Errorf("initramfs: %s: %w", file, err)
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("initramfs: %s: %w", file, err)
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("initramfs: %s has no section .modinfo", file)
	}
	b, err = s.Data()
	if err != nil {
		return nil, fmt.Errorf("initramfs: %s: %w", file, err)
	}
	for _, field := range strings.Split(string(b), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// maxModule limits the size in bytes of an unpacked module.
const maxModule = 64 << 20

func unpackXZ(b []byte) ([]byte, error) {
	z, err := xz.NewReader(bytes.NewReader(b), xz.DefaultDictMax)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxModule+1))
	if err == nil && len(out) > maxModule {
		err = fmt.Errorf("more than %d bytes", maxModule)
	}
	return out, err
}

// readBuiltin reads modules.builtin, a path a line.
func readBuiltin(file string) (map[string]bool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	names := make(map[string]bool)
	for _, l := range strings.Fields(string(b)) {
		names[moduleName(l)] = true
	}
	return names, nil
}

// moduleName is the kernel's name of a module file: the base name without
// suffix, with underscores.
func moduleName(p string) string {
	n, _, _ := strings.Cut(path.Base(p), ".ko")
	return strings.ReplaceAll(n, "-", "_")
}
