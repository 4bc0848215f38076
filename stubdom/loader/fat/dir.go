package fat

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	entrySize = 32
	// maxDirectory is the size in bytes of the largest directory (65,536 entries).
	maxDirectory = 65536 * entrySize
	maxEntries   = 10_000

	attrVolume    = 0x08
	attrDirectory = 0x10
	attrLong      = 0x0f

	entryEnd     = 0x00
	entryDeleted = 0xe5
	lastLong     = 0x40
	longChars    = 13
	maxLong      = 20 // entries of one long name
)

// An entry is a file or directory.
type entry struct {
	name  string // long name, if there is one
	short string
	dir   bool
	first uint32
	size  int64
}

// is reports whether the entry has that name.
func (e *entry) is(name string) bool {
	return strings.EqualFold(e.name, name) || strings.EqualFold(e.short, name)
}

var root = entry{name: ".", dir: true}

// open returns the contents of a directory.
func (f *FS) openDir(e *entry) (io.ReaderAt, int64, error) {
	first := e.first
	if first == 0 { // also what ".." of a directory in the root says
		if f.bits != 32 {
			return io.NewSectionReader(f.r, f.rootAt, f.rootSize), f.rootSize, nil
		}
		first = f.root
	}
	c, err := f.chain(first, -1, maxDirectory)
	if err != nil {
		return nil, 0, err
	}
	return c, c.size, nil
}

// entries returns what is in a directory, without "." and "..".
func (f *FS) entries(e *entry) ([]entry, error) {
	r, size, err := f.openDir(e)
	if err != nil {
		return nil, err
	}
	var list []entry
	var long longName
	block := make([]byte, 4096)
	for off := int64(0); off < size; off += int64(len(block)) {
		b := block[:min(int64(len(block)), size-off)]
		if err := readFull(r, b, off); err != nil {
			return nil, err
		}
		for ; len(b) >= entrySize; b = b[entrySize:] {
			switch {
			case b[0] == entryEnd:
				return list, nil
			case b[0] == entryDeleted:
				long.clear()
			case b[11] == attrLong:
				long.add(b)
			case b[11]&attrVolume != 0 || b[0] == '.':
				long.clear()
			default:
				if len(list) == maxEntries {
					return nil, errors.Join(ErrUnsupported, errors.New("too many files in a directory"))
				}
				list = append(list, f.parse(b, &long))
				long.clear()
			}
		}
	}
	return list, nil
}

// parse reads a short entry.
func (f *FS) parse(b []byte, long *longName) entry {
	le := binary.LittleEndian
	e := entry{short: shortName(b), dir: b[11]&attrDirectory != 0, first: uint32(le.Uint16(b[26:])), size: int64(le.Uint32(b[28:]))}
	if f.bits == 32 {
		e.first |= uint32(le.Uint16(b[20:])) << 16
	}
	if e.name = long.name(b[:11]); e.name == "" {
		e.name = e.short
	}
	return e
}

// shortName returns the name of 8 and 3 characters. Bits 3 and 4 of byte 12 say that base
// and extension are in lower case.
func shortName(b []byte) string {
	base, ext := strings.TrimRight(string(b[:8]), " "), strings.TrimRight(string(b[8:11]), " ")
	if b[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if b[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return base
}

// A longName collects the entries of a long name, which come in reverse order.
type longName struct {
	chars [maxLong * longChars]uint16
	sum   byte
	want  int // the number of the next entry, 0 when all are there
	n     int // entries
}

func (l *longName) clear() { l.n, l.want = 0, 0 }

func (l *longName) add(b []byte) {
	number := int(b[0] &^ lastLong)
	if b[0]&lastLong != 0 {
		l.n, l.want, l.sum = number, number, b[13]
	}
	if number == 0 || number > maxLong || number != l.want || b[13] != l.sum {
		l.clear()
		return
	}
	l.want--
	part := l.chars[(number-1)*longChars:][:longChars]
	for i, at := range [longChars]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part[i] = binary.LittleEndian.Uint16(b[at:])
	}
}

// name returns the name if it is complete and belongs to the short name.
func (l *longName) name(short []byte) string {
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	if l.n == 0 || l.want != 0 || sum != l.sum {
		return ""
	}
	chars := l.chars[:l.n*longChars]
	for i, c := range chars {
		if c == 0 {
			chars = chars[:i]
			break
		}
	}
	return string(utf16.Decode(chars))
}

// info implements fs.FileInfo. Times are not kept.
type info struct{ entry }

func (n info) Name() string { return n.name }
func (n info) Size() int64  { return n.size }
func (n info) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
func (n info) ModTime() time.Time { return time.Time{} }
func (n info) IsDir() bool        { return n.dir }
func (n info) Sys() any           { return nil }
