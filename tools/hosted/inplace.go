package hosted

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Errors of a save whose file is not what its name leads to any more.
var (
	errReplaced = errors.New("was replaced by another file while it is in use; it is not written over")
	errDirMoved = errors.New("state directory was moved or replaced while it is in use")
)

// checkName reports whether a new file must be written, because the old one was
// removed or has a second name. It returns an error if the name leads to another
// file, such as one that was put back from a backup.
func (s *StateDir) checkName() (again bool, err error) {
	if s.inPlace() {
		return false, s.checkHead()
	}
	if err := errors.Join(s.checkDir(), s.checkLock()); err != nil {
		return false, err
	}
	return s.checkFile()
}

// inPlace reports whether the paths of the file and of its lock lead to the open
// ones, and no other name leads to the file. It is the usual case, and takes two
// system calls.
func (s *StateDir) inPlace() bool {
	if s.slots == nil || s.slots.size == 0 {
		return false
	}
	file, names, err := pathID(s.slots.path)
	if err != nil || file != s.slots.id || names > 1 && !s.slots.block {
		return false
	}
	if s.own {
		return true
	}
	lock, _, err := pathID(s.lock.Name())
	return err == nil && lock == s.lockID
}

// checkDir returns an error if the path does not lead to the open directory.
func (s *StateDir) checkDir() error {
	var st unix.Stat_t
	if err := unix.Stat(s.dir.Name(), &st); err != nil || s.dirID != (fileID{uint64(st.Dev), st.Ino}) {
		return fmt.Errorf("%s: %w", s.dir.Name(), errDirMoved)
	}
	return nil
}

// checkLock takes the lock again if its file was removed.
func (s *StateDir) checkLock() error {
	if s.own {
		return nil
	}
	n, _, err := leadsTo(s.dir, fileLock, s.lockID)
	if err == nil && n != nameOurs {
		err = s.relock()
	}
	return err
}

// checkFile is checkName for a file that is not simply in its place.
func (s *StateDir) checkFile() (again bool, err error) {
	if s.slots == nil {
		var st unix.Stat_t
		if unix.Fstatat(int(s.dir.Fd()), s.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return false, fmt.Errorf("%s %w", s.file(), errReplaced)
		}
		return true, nil
	}
	n, names, err := leadsTo(s.dir, s.name, s.slots.id)
	switch {
	case err != nil:
		return false, err
	case n == nameOther:
		return false, fmt.Errorf("%s %w", s.slots.path, errReplaced)
	case n == nameGone:
		s.opt.Log("%s was removed while it is in use; a new file is written", s.slots.path)
		return true, nil
	case s.slots.size == 0:
		return true, nil
	}
	// A second name, such as a backup of hard links has, must not change with the
	// first.
	return names > 1 && !s.slots.block, s.checkHead()
}

// checkHead returns an error if another process wrote to the file.
func (s *StateDir) checkHead() error {
	if s.current < 0 {
		return nil
	}
	if b, err := s.readHead(); err != nil || !bytes.Equal(b, s.head) {
		return fmt.Errorf("%s %w", s.slots.path, errReplaced)
	}
	return nil
}
