package fat

import (
	"io"
	"io/fs"
	"sort"
	"strings"
)

// find returns the entry of a path.
func (f *FS) find(op, name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at := root
	if name == "." {
		return at, nil
	}
	for _, part := range strings.Split(name, "/") {
		var list []entry
		err := fs.ErrNotExist
		if at.dir {
			if list, err = f.entries(&at); err == nil {
				err = fs.ErrNotExist
			}
		}
		for i := range list {
			if list[i].is(part) {
				at, err = list[i], nil
				break
			}
		}
		if err != nil {
			return entry{}, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return at, nil
}

// Open implements fs.FS. Files implement io.ReaderAt.
func (f *FS) Open(name string) (fs.File, error) {
	e, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.dir {
		return &dir{fs: f, entry: e, name: name}, nil
	}
	c := &contents{}
	if e.size > 0 {
		if c, err = f.chain(e.first, e.size, 0); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	return &file{io.NewSectionReader(c, 0, e.size), e}, nil
}

// Stat implements fs.StatFS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	e, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info{e}, nil
}

// ReadDir implements fs.ReadDirFS, for at most 10,000 entries.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !e.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	all, err := f.entries(&e)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var list []fs.DirEntry
	for _, e := range all {
		if fs.ValidPath(e.name) && !strings.Contains(e.name, "/") {
			list = append(list, fs.FileInfoToDirEntry(info{e}))
		}
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Name() < list[b].Name() })
	return list, nil
}

type file struct {
	*io.SectionReader
	entry entry
}

func (f *file) Stat() (fs.FileInfo, error) { return info{f.entry}, nil }
func (f *file) Close() error               { return nil }

// A dir is an open directory.
type dir struct {
	fs    *FS
	entry entry
	name  string
	read  bool
	left  []fs.DirEntry
}

func (d *dir) Stat() (fs.FileInfo, error) { return info{d.entry}, nil }
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
