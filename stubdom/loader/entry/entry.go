// Package entry is what a guest's disk offers to boot: entries of the Boot Loader
// Specification or of GRUB, their order, and the choice among them.
package entry

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// An Entry is one thing to boot: a kernel with initrds, or a unified kernel image.
type Entry struct {
	ID    string // name to choose it by
	Title string

	FS      fs.FS    // holds the files
	Linux   string   // path of the kernel, without a leading slash
	Initrds []string // paths, in this order
	Options string   // command line
	Unified string   // path of the unified kernel image, instead of the three above

	// Sort keys of the Boot Loader Specification.
	SortKey, MachineID, Version string
	// TriesLeft is -1 for an entry without counter. One with 0 is bad: it has been
	// tried, and never blessed.
	TriesLeft int
}

// Sort sorts entries as UAPI.1, "Sorting", wants it: the best first.
func Sort(all []Entry) {
	slices.SortStableFunc(all, func(a, b Entry) int {
		bad := func(e Entry) int {
			if e.TriesLeft == 0 {
				return 1
			}
			return 0
		}
		if c := cmp.Compare(bad(a), bad(b)); c != 0 {
			return c
		}
		switch {
		case a.SortKey != "" && b.SortKey != "":
			if c := cmp.Or(strings.Compare(a.SortKey, b.SortKey), strings.Compare(a.MachineID, b.MachineID), CompareVersions(b.Version, a.Version)); c != 0 {
				return c
			}
		case a.SortKey != "":
			return -1
		case b.SortKey != "":
			return 1
		}
		return CompareVersions(b.ID, a.ID)
	})
}

// Find returns the index of the first entry whose ID is the pattern, or matches it
// (package path), and -1 if there is no such entry.
func Find(all []Entry, pattern string) int {
	return slices.IndexFunc(all, func(e Entry) bool {
		ok, err := path.Match(pattern, e.ID)
		return ok && err == nil || pattern == e.ID
	})
}
