package initramfs

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// A Kernel is a Linux kernel of this host with its modules.
type Kernel struct {
	Image   string // path of vmlinuz
	Version string // as in /lib/modules
	Modules string // directory of its modules
}

// FindKernel returns the newest Debian kernel of /boot that has its modules
// installed. "Newest" compares the dotted numbers of the version.
func FindKernel() (Kernel, error) {
	images, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil {
		return Kernel{}, err
	}
	sort.Slice(images, func(i, j int) bool { return versionLess(images[j], images[i]) })
	for _, img := range images {
		v := strings.TrimPrefix(filepath.Base(img), "vmlinuz-")
		dir := filepath.Join("/lib/modules", v)
		if _, err := os.Stat(filepath.Join(dir, "modules.dep")); err != nil {
			continue
		}
		if f, err := os.Open(img); err != nil {
			return Kernel{}, fmt.Errorf("initramfs: the kernel must be readable: %w", err)
		} else {
			f.Close()
		}
		return Kernel{Image: img, Version: v, Modules: dir}, nil
	}
	return Kernel{}, fmt.Errorf("%w: a kernel in /boot with its modules (package linux-image-amd64)", ErrNoProgram)
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
// and returns their paths in the archive in the order to load them.
func (a *Archive) AddModules(k Kernel, names ...string) ([]string, error) {
	deps, err := readDeps(filepath.Join(k.Modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := readBuiltin(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	var order []string
	for _, n := range names {
		key := moduleName(n)
		if builtin[key] {
			continue
		}
		d, ok := deps[key]
		if !ok {
			return nil, fmt.Errorf("%w: module %s of kernel %s", ErrNoProgram, n, k.Version)
		}
		// modules.dep lists the module first, then its dependencies, the one
		// to be loaded first at the end.
		for i := len(d) - 1; i >= 0; i-- {
			name := path.Join("/lib/modules", k.Version, d[i])
			if a.Has(name) {
				continue
			}
			if err := a.Copy(name, filepath.Join(k.Modules, d[i])); err != nil {
				return nil, err
			}
			order = append(order, name)
		}
	}
	return order, nil
}

// readDeps reads modules.dep: "path: path path ...", by module name.
func readDeps(file string) (map[string][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	deps := make(map[string][]string)
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		mod, rest, ok := strings.Cut(s.Text(), ":")
		if ok {
			deps[moduleName(mod)] = append([]string{mod}, strings.Fields(rest)...)
		}
	}
	return deps, s.Err()
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
