// Package bls finds boot loader entries on a file system (UAPI.1, "Boot Loader
// Specification"): files loader/entries/*.conf (type 1) and unified kernel images
// EFI/Linux/*.efi (type 2), with counters of tries in their names, and what
// loader/loader.conf says about the choice.
//
// Entries for another architecture than x86-64, and those without a kernel, are left out.
// Counters take part in the order; nothing is written to the disk, so they are not
// counted down.
package bls

import (
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"stubtpm/stubdom/loader/entry"
)

const (
	// maxFile is the size in bytes of the largest configuration file.
	maxFile = 16 << 10
	// maxEntries bounds the files that are looked at in a directory.
	maxEntries = 256
)

// A Config is what loader.conf says.
type Config struct {
	Default string // pattern of IDs
	Timeout int    // seconds; -1 if it says nothing, -2 for no limit
}

// Read returns the entries of a file system, unsorted. Files that cannot be read are
// passed to skipped, which may be nil.
func Read(f fs.FS, skipped func(name string, err error)) ([]entry.Entry, Config) {
	if skipped == nil {
		skipped = func(string, error) {}
	}
	var all []entry.Entry
	for _, name := range list(f, "loader/entries", ".conf", skipped) {
		b, err := readFile(f, name)
		if err != nil {
			skipped(name, err)
			continue
		}
		if e, ok := Parse(string(b)); ok {
			e.FS = f
			e.ID, e.TriesLeft = Counter(base(name, ".conf"))
			if e.Title == "" {
				e.Title = e.ID
			}
			all = append(all, e)
		}
	}
	for _, name := range list(f, "EFI/Linux", ".efi", skipped) {
		e := entry.Entry{FS: f, Unified: name}
		e.ID, e.TriesLeft = Counter(base(name, ".efi"))
		e.Title = e.ID
		all = append(all, e)
	}
	c := Config{Timeout: -1}
	if b, err := readFile(f, "loader/loader.conf"); err == nil {
		c = ParseConfig(string(b))
	}
	return all, c
}

// base returns a file's name without its suffix, which may be in capitals.
func base(name, suffix string) string {
	b := path.Base(name)
	return b[:len(b)-len(suffix)]
}

// list returns the paths of the files in a directory that have the suffix.
func list(f fs.FS, dir, suffix string, skipped func(string, error)) []string {
	files, err := fs.ReadDir(f, dir)
	if err != nil {
		return nil // there is no such directory, or it is damaged: nothing to boot
	}
	var names []string
	for _, e := range files {
		if !strings.HasSuffix(strings.ToLower(e.Name()), suffix) || strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		if len(names) == maxEntries {
			skipped(dir, fs.ErrInvalid)
			break
		}
		names = append(names, dir+"/"+e.Name())
	}
	return names
}

func readFile(f fs.FS, name string) ([]byte, error) {
	o, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(io.LimitReader(o, maxFile))
}

// Counter splits a name into ID and tries left: "name+3-1" has 3 left and 1 done. Without
// a counter they are -1.
func Counter(name string) (id string, left int) {
	at := strings.LastIndexByte(name, '+')
	if at < 0 {
		return name, -1
	}
	l, d, done := strings.Cut(name[at+1:], "-")
	n, err := strconv.ParseUint(l, 10, 16)
	if err != nil {
		return name, -1
	}
	if _, err := strconv.ParseUint(d, 10, 16); done && err != nil {
		return name, -1
	}
	return name[:at], int(n)
}

// fields calls f for each key and value of a configuration file.
func fields(text string, f func(key, value string)) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			continue
		}
		f(line[:i], strings.TrimSpace(line[i:]))
	}
}

// Parse reads an entry of type 1. It reports false for one that is not for this machine.
func Parse(text string) (e entry.Entry, ok bool) {
	ok = true
	fields(text, func(key, value string) {
		switch key {
		case "title":
			e.Title = value
		case "version":
			e.Version = value
		case "machine-id":
			e.MachineID = value
		case "sort-key":
			e.SortKey = value
		case "linux":
			e.Linux = clean(value)
		case "initrd":
			e.Initrds = append(e.Initrds, clean(value))
		case "options":
			e.Options = strings.TrimSpace(e.Options + " " + value)
		case "efi", "uki":
			e.Unified = clean(value)
		case "architecture":
			ok = ok && strings.EqualFold(value, "x64")
		}
	})
	return e, ok && (e.Linux != "") != (e.Unified != "")
}

// clean makes a path of package fs of one that is relative to the file system's root.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, "\\", "/")), "/")
}

// ParseConfig reads loader.conf.
func ParseConfig(text string) Config {
	c := Config{Timeout: -1}
	fields(text, func(key, value string) {
		switch key {
		case "default":
			c.Default = strings.TrimSuffix(strings.TrimSuffix(value, ".conf"), ".efi")
		case "timeout":
			switch n, err := strconv.ParseUint(value, 10, 16); {
			case value == "menu-force":
				c.Timeout = -2
			case value == "menu-hidden" || value == "menu-disabled":
				c.Timeout = 0
			case err == nil:
				c.Timeout = int(n)
			}
		}
	})
	return c
}
