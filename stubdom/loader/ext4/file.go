package ext4

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"time"
)

// open finds a file for an operation of package fs.
func (f *FS) open(op, name string) (*inode, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	i, err := f.walk(name)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return i, nil
}

// Open implements fs.FS. Files implement io.ReaderAt. Symbolic links are followed.
func (f *FS) Open(name string) (fs.File, error) {
	i, err := f.open("open", name)
	if err != nil {
		return nil, err
	}
	in := info{path.Base(name), i}
	if i.isDir() {
		return &dir{fs: f, info: in, name: name}, nil
	}
	if !i.isFile() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	s := io.NewSectionReader(reader{f, i}, 0, i.size)
	return &file{SectionReader: s, info: in}, nil
}

// Stat implements fs.StatFS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	i, err := f.open("stat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), i}, nil
}

// ReadDir implements fs.ReadDirFS, for at most 10,000 entries. Entries whose inode cannot be read are left out.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	i, err := f.open("readdir", name)
	if err != nil {
		return nil, err
	}
	if !i.isDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	var list []fs.DirEntry
	err = f.entries(i, func(n string, number uint32) bool {
		if n == "." || n == ".." || !fs.ValidPath(n) {
			return true
		}
		if e, err := f.inode(number); err == nil {
			list = append(list, fs.FileInfoToDirEntry(info{n, e}))
		}
		return len(list) <= maxEntries
	})
	if err == nil && len(list) > maxEntries {
		err = fmt.Errorf("%w: more than %d entries", ErrUnsupported, maxEntries)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Name() < list[b].Name() })
	return list, nil
}

type reader struct {
	fs *FS
	i  *inode
}

func (r reader) ReadAt(b []byte, off int64) (int, error) { return r.fs.readAt(r.i, b, off) }

type file struct {
	*io.SectionReader
	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// A dir is an open directory.
type dir struct {
	fs   *FS
	info info
	name string
	read bool
	left []fs.DirEntry
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dir) Close() error               { return nil }
func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		var err error
		if d.left, err = d.fs.ReadDir(d.name); err != nil {
			return nil, err
		}
		d.read = true
	}
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	take := len(d.left)
	if n > 0 {
		take = min(n, take)
	}
	list := d.left[:take]
	d.left = d.left[take:]
	return list, nil
}

// info implements fs.FileInfo. Times are not kept.
type info struct {
	name string
	i    *inode
}

func (n info) Name() string       { return n.name }
func (n info) Size() int64        { return n.i.size }
func (n info) Mode() fs.FileMode  { return n.i.fsMode() }
func (n info) ModTime() time.Time { return time.Time{} }
func (n info) IsDir() bool        { return n.i.isDir() }
func (n info) Sys() any           { return nil }
