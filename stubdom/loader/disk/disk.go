// Package disk finds what a guest's disk offers to boot, on all of its partitions.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"stubtpm/stubdom/loader/bls"
	"stubtpm/stubdom/loader/entry"
	"stubtpm/stubdom/loader/ext4"
	"stubtpm/stubdom/loader/fat"
	"stubtpm/stubdom/loader/grubcfg"
	"stubtpm/stubdom/loader/partition"
)

// Errors of Read.
var (
	ErrNothing = errors.New("disk: nothing to boot was found")
	ErrDamaged = errors.New("disk: damaged beyond what its readers check")
)

// Found is what a disk offers.
type Found struct {
	Entries []entry.Entry // at least one
	Default int           // index of the entry that the disk's configuration chooses
	Timeout int           // seconds; -1 if it says nothing, -2 for no limit
	GPT     []byte        // see partition.Table
}

// Limits, so that partitions that overlap do not multiply what is read and kept.
const (
	maxVolumes = 128
	maxEntries = 512
	maxPath    = 1024 // bytes; of a file to boot
)

// Read looks at a disk of size bytes. Entries of the Boot Loader Specification, on
// whichever partitions, come before those of a grub.cfg. What is damaged is left out and
// logged; ErrNothing is returned if nothing is left. Files are read when an entry is
// booted.
func Read(r io.ReaderAt, size int64, log func(format string, args ...any)) (found Found, err error) {
	// The readers check what they read. Should one of them miss something, the guest gets
	// an error and not a dead domain.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	table, err := partition.Read(r, size)
	if err != nil {
		return Found{}, err
	}
	volumes := map[string]*io.SectionReader{}
	var names []string
	if len(table.Parts) == 0 {
		names = []string{"disk"}
		volumes["disk"] = io.NewSectionReader(r, 0, size)
	}
	if len(table.Parts) > maxVolumes {
		log("only the first %d partitions are looked at", maxVolumes)
		table.Parts = table.Parts[:maxVolumes]
	}
	for _, p := range table.Parts {
		name := fmt.Sprintf("partition %d", p.Number)
		names = append(names, name)
		volumes[name] = io.NewSectionReader(r, p.Start, p.Size)
	}
	s := scan{log: log, spec: Found{Timeout: -1}, grub: Found{Timeout: -1}}
	for _, name := range names {
		f, err := Open(volumes[name])
		if err != nil {
			log("%s: %v", name, err)
			continue
		}
		s.volume(name, f)
		if len(s.spec.Entries) > maxEntries {
			log("%s: more than %d entries: the rest is not looked at", name, maxEntries)
			break
		}
	}
	found = s.grub
	if len(s.spec.Entries) > 0 {
		found = s.spec
		entry.Sort(found.Entries)
		found.Default = max(0, entry.Find(found.Entries, s.pattern))
	}
	found.GPT = table.GPT
	if len(found.Entries) == 0 {
		return Found{}, ErrNothing
	}
	return found, nil
}

// Open opens the file system on a partition.
func Open(part *io.SectionReader) (fs.FS, error) {
	f, err := ext4.New(part, part.Size())
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, ext4.ErrNoExt4) {
		return nil, err
	}
	v, err := fat.New(part, part.Size())
	if errors.Is(err, fat.ErrNoFAT) {
		return nil, errors.New("neither ext4 nor FAT")
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// A scan collects what volumes offer.
type scan struct {
	log        func(format string, args ...any)
	spec, grub Found
	pattern    string // default of loader.conf
}

func (s *scan) volume(name string, f fs.FS) {
	skipped := func(file string, err error) { s.log("%s: %s: %v", name, file, err) }
	roots := []fs.FS{f}
	// /boot is a directory of the root file system: its entries are relative to it.
	if boot, err := fs.Sub(f, "boot"); err == nil {
		roots = append(roots, boot)
	}
	for _, root := range roots {
		all, c := bls.Read(root, skipped)
		for _, e := range all {
			if !longPath(e) {
				s.spec.Entries = append(s.spec.Entries, e)
			} else {
				skipped(e.ID, errPath)
			}
		}
		if c.Default != "" {
			s.pattern = c.Default
		}
		if c.Timeout != -1 {
			s.spec.Timeout = c.Timeout
		}
	}
	for _, file := range []string{"grub/grub.cfg", "boot/grub/grub.cfg", "grub2/grub.cfg", "boot/grub2/grub.cfg"} {
		if len(s.grub.Entries) > 0 {
			return // the first grub.cfg counts
		}
		b, err := readFile(f, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			skipped(file, err)
			continue
		}
		s.useGRUB(f, grubcfg.Parse(string(b)))
	}
}

var errPath = fmt.Errorf("a path of more than %d bytes", maxPath)

// longPath reports whether the path of one of an entry's files is too long.
func longPath(e entry.Entry) bool {
	for _, name := range append([]string{e.Linux, e.Unified}, e.Initrds...) {
		if len(name) > maxPath {
			return true
		}
	}
	return false
}

// useGRUB takes the entries of a grub.cfg that have a kernel.
func (s *scan) useGRUB(f fs.FS, c grubcfg.Config) {
	for i, e := range c.Entries {
		if e.Linux == "" || longPath(e) {
			continue
		}
		if i == c.Default {
			s.grub.Default = len(s.grub.Entries)
		}
		e.FS = f
		s.grub.Entries = append(s.grub.Entries, e)
	}
	s.grub.Timeout = c.Timeout
}

// readFile reads a grub.cfg.
func readFile(f fs.FS, name string) ([]byte, error) {
	o, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(io.LimitReader(o, grubcfg.MaxSize))
}
