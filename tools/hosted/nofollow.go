package hosted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Files are opened by a name in an open directory and never through a symbolic
// link as that name: a user with write access to the directory could otherwise
// choose which file of this process's user is written to.

// openIn opens or creates a file in a directory.
func openIn(dir *os.File, name string, flags int, mode os.FileMode) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, uint32(mode.Perm()))
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link, which is not followed", path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openDir opens a directory; symbolic links that lead to it are followed.
func openDir(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openOutput opens a file to be written (--log, --pid) without following a
// symbolic link, and without writing to another name's file.
func openOutput(path string, flags int, mode os.FileMode) (*os.File, error) {
	dir, err := openDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := openIn(dir, filepath.Base(path), flags&^unix.O_TRUNC|unix.O_WRONLY|unix.O_CREAT, mode)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 {
		f.Close()
		return nil, fmt.Errorf("%s is also a file of another name (a hard link)", path)
	}
	if flags&unix.O_TRUNC != 0 && st.Mode&unix.S_IFMT == unix.S_IFREG {
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Where a name leads, compared with an open file.
type nameState int

const (
	nameOurs  nameState = iota // to that file
	nameGone                   // nowhere
	nameOther                  // to another file
)

// A fileID identifies a file.
type fileID struct{ dev, ino uint64 }

func idOf(f *os.File) (fileID, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return fileID{uint64(st.Dev), st.Ino}, err
}

// pathID returns what a path leads to, and how many names that has. The last
// element of the path is not followed as a symbolic link.
//
// It asks for no times: since Linux 6.13 the first write after a stat(2) of a file
// gives it a new time of its own, and a flush then costs a commit of the file
// system's journal.
func pathID(path string) (id fileID, names uint64, err error) {
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_NLINK, &st)
	return fileID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}, uint64(st.Nlink), err
}

// leadsTo compares what a name in a directory leads to with an open file, and
// returns how many names that file has.
func leadsTo(dir *os.File, name string, want fileID) (n nameState, names uint64, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nameGone, 0, nil
	case err != nil:
		return nameOther, 0, err
	case want != fileID{uint64(st.Dev), st.Ino}:
		return nameOther, 0, nil
	}
	return nameOurs, uint64(st.Nlink), nil
}
