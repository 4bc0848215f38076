package initramfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// libraryDirs is where Debian's dynamic loader looks on amd64.
var libraryDirs = [...]string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// ErrNoProgram is returned where a program or library is not below the archive's root.
var ErrNoProgram = errors.New("initramfs: not found")

// Program adds an ELF file under its own path, with its loader and every shared library
// that it needs, found as the dynamic loader finds them. Libraries opened at run time
// (dlopen) are not seen: add them by Library.
func (a *Archive) Program(source string) error {
	return a.ProgramAs(source, source)
}

// ProgramAs is Program under another path in the archive.
func (a *Archive) ProgramAs(name, source string) error {
	if err := a.take(name, source); err != nil {
		return err
	}
	return a.needed(source)
}

// Programs adds several programs by name, each looked for in the given
// directories, under the path where it was found.
func (a *Archive) Programs(dirs []string, names ...string) error {
	for _, n := range names {
		p, err := a.lookup(dirs, n)
		if err != nil {
			return err
		}
		if err := a.Program(p); err != nil {
			return err
		}
	}
	return nil
}

// Library adds a shared library by its file name, such as "libgcc_s.so.1".
func (a *Archive) Library(name string) error {
	p, err := a.lookup(libraryDirs[:], name)
	if err != nil {
		return err
	}
	if a.Has(p) {
		return nil
	}
	return a.Program(p)
}

// Tree adds the regular files below a directory of the archive's root, under their own
// paths.
func (a *Archive) Tree(dir string) error {
	host, err := a.below(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(host, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		return a.Copy(filepath.Join(dir, rel), p)
	})
}

// take copies a file below the archive's root under a name.
func (a *Archive) take(name, source string) error {
	file, err := a.below(source)
	if err != nil {
		return err
	}
	return a.Copy(name, file)
}

// below returns the host's path of a file below the archive's root, with its links
// followed. A link that leaves the root would lead to a file of another system.
func (a *Archive) below(name string) (string, error) {
	file, err := filepath.EvalSymlinks(filepath.Join(a.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s below %s", ErrNoProgram, name, a.root)
	}
	if err != nil {
		return "", fmt.Errorf("initramfs: %w", err)
	}
	if rel, err := filepath.Rel(a.root, file); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("initramfs: %s is a link out of %s, to %s", name, a.root, file)
	}
	return file, nil
}

// needed adds what one ELF file asks for; a static file asks for nothing.
func (a *Archive) needed(source string) error {
	file, err := a.below(source)
	if err != nil {
		return err
	}
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("initramfs: %s: %w", source, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return fmt.Errorf("initramfs: %s: %w", source, err)
		}
		loader := strings.TrimRight(string(b), "\x00")
		if err := a.take(loader, loader); err != nil {
			return err
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("initramfs: %s: %w", source, err)
	}
	dirs := append(runPath(f, source), libraryDirs[:]...)
	for _, l := range libs {
		p, err := a.lookup(dirs, l)
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", source, l, err)
		}
		if a.Has(p) {
			continue
		}
		if err := a.take(p, p); err != nil {
			return err
		}
		if err := a.needed(p); err != nil {
			return err
		}
	}
	return nil
}

// runPath returns the directories that the file itself names.
func runPath(f *elf.File, source string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			continue // no dynamic section: a static program
		}
		for _, v := range values {
			for _, d := range strings.Split(v, ":") {
				dirs = append(dirs, strings.ReplaceAll(d, "$ORIGIN", filepath.Dir(source)))
			}
		}
	}
	return dirs
}

// lookup returns the path below the archive's root of a regular file in one of the
// directories.
func (a *Archive) lookup(dirs []string, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, d := range dirs {
		p := filepath.Join(d, name)
		if info, err := os.Stat(filepath.Join(a.root, p)); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s below %s (looked in %s)", ErrNoProgram, name, a.root, strings.Join(dirs, ", "))
}

// Busybox adds the static busybox with a link in /bin for each applet
// of the list.
func (a *Archive) Busybox(applets ...string) error {
	p, err := a.lookup([]string{"/bin", "/usr/bin"}, "busybox")
	if err != nil {
		return err
	}
	if err := a.ProgramAs("/bin/busybox", p); err != nil {
		return err
	}
	for _, ap := range applets {
		a.Link("/bin/"+ap, "busybox")
	}
	return nil
}
