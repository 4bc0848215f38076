package ext4

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Directory entries: inode 4, length 2, length of the name 1, type 1, name.
const (
	direntHeader = 8
	maxDirectory = 4 << 20
	maxEntries   = 10_000
	maxLinks     = 16
	maxTarget    = 4096
)

// entries calls yield for each entry of a directory until it returns false.
func (f *FS) entries(dir *inode, yield func(name string, number uint32) bool) error {
	if dir.size > maxDirectory {
		return fmt.Errorf("%w: directory of %d bytes", ErrUnsupported, dir.size)
	}
	block := make([]byte, f.blockSize)
	le := binary.LittleEndian
	for off := int64(0); off+f.blockSize <= dir.size; off += f.blockSize {
		if _, err := f.readAt(dir, block, off); err != nil {
			return err
		}
		for b := block; len(b) >= direntHeader; {
			number, length, name := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
			if length < direntHeader || length > len(b) || direntHeader+name > length {
				return fmt.Errorf("%w: entry of directory %d", ErrFormat, dir.number)
			}
			// Index blocks and checksums look like entries without an inode.
			if number != 0 && name > 0 && !yield(string(b[direntHeader:direntHeader+name]), number) {
				return nil
			}
			b = b[length:]
		}
	}
	return nil
}

// lookup returns the entry of that name.
func (f *FS) lookup(dir *inode, name string) (*inode, error) {
	var number uint32
	if err := f.entries(dir, func(n string, i uint32) bool {
		if n == name {
			number = i
		}
		return number == 0
	}); err != nil {
		return nil, err
	}
	if number == 0 {
		return nil, fs.ErrNotExist
	}
	return f.inode(number)
}

// walk finds a file by its path, and follows symbolic links, also those that lead to the
// root of the file system. A target that is an absolute path is one in this file system.
func (f *FS) walk(name string) (*inode, error) {
	root, err := f.inode(rootInode)
	if err != nil {
		return nil, err
	}
	at, dirs := root, []*inode{}
	parts := split(name)
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		if !at.isDir() {
			return nil, fs.ErrNotExist
		}
		if part == ".." {
			if n := len(dirs); n > 0 {
				at, dirs = dirs[n-1], dirs[:n-1]
			}
			continue
		}
		next, err := f.lookup(at, part)
		if err != nil {
			return nil, err
		}
		if !next.isLink() {
			at, dirs = next, append(dirs, at)
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%w: %s: too many links", ErrUnsupported, name)
		}
		target, err := f.target(next)
		if err != nil {
			return nil, err
		}
		if path.IsAbs(target) {
			at, dirs = root, nil
		}
		parts = append(split(target), parts...)
		if len(parts) > maxTarget {
			return nil, fmt.Errorf("%w: %s: too many links", ErrUnsupported, name)
		}
	}
	return at, nil
}

// split returns the parts of a path, without those that lead nowhere.
func split(name string) []string {
	var parts []string
	for _, p := range strings.Split(name, "/") {
		if p != "" && p != "." {
			parts = append(parts, p)
		}
	}
	return parts
}

// target returns where a symbolic link leads. Short targets are in the inode.
func (f *FS) target(i *inode) (string, error) {
	if i.size > maxTarget {
		return "", fmt.Errorf("%w: link of %d bytes", ErrFormat, i.size)
	}
	if i.size < blockLen && i.flags&flagExtents == 0 {
		return string(i.block[:i.size]), nil
	}
	b := make([]byte, i.size)
	if _, err := f.readAt(i, b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}
