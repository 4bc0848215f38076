package initramfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// libraryDirs is where Debian's dynamic loader looks on amd64.
var libraryDirs = [...]string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// ErrNoProgram is returned where a program or library is not on this host.
var ErrNoProgram = errors.New("initramfs: not found on this host")

// Program adds an ELF file of the host under its own path, with its loader and
// every shared library that it needs, found as the dynamic loader finds them.
// Libraries opened at run time (dlopen) are not seen: add them by Library.
func (a *Archive) Program(source string) error {
	return a.ProgramAs(source, source)
}

// ProgramAs is Program under another path in the archive.
func (a *Archive) ProgramAs(name, source string) error {
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("%w: %s", ErrNoProgram, source)
	}
	if err := a.Copy(name, source); err != nil {
		return err
	}
	return a.needed(source)
}

// Programs adds several programs by name, each looked for in the given
// directories, under the path where it was found.
func (a *Archive) Programs(dirs []string, names ...string) error {
	for _, n := range names {
		p, err := lookup(dirs, n)
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
	p, err := lookup(libraryDirs[:], name)
	if err != nil {
		return err
	}
	if a.Has(p) {
		return nil
	}
	return a.Program(p)
}

// needed adds what one ELF file asks for; a static file asks for nothing.
func (a *Archive) needed(source string) error {
	f, err := elf.Open(source)
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
		if err := a.Copy(loader, loader); err != nil {
			return err
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("initramfs: %s: %w", source, err)
	}
	dirs := append(runPath(f, source), libraryDirs[:]...)
	for _, l := range libs {
		p, err := lookup(dirs, l)
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", source, l, err)
		}
		if a.Has(p) {
			continue
		}
		if err := a.Copy(p, p); err != nil {
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

func lookup(dirs []string, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, d := range dirs {
		p := filepath.Join(d, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s (looked in %s)", ErrNoProgram, name, strings.Join(dirs, ", "))
}

// Busybox adds the host's static busybox with a link in /bin for each applet
// of the list.
func (a *Archive) Busybox(applets ...string) error {
	p, err := lookup([]string{"/bin", "/usr/bin"}, "busybox")
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
