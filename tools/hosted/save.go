package hosted

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Save replaces the permanent state and erases the one before, and the volatile
// state, which belonged to it. Unless NoSync is set the new state survives a
// loss of power when Save returns nil.
func (s *StateDir) Save(state []byte) error {
	if !s.held {
		return errUnlocked
	}
	if !s.known {
		// A state that cannot be read is not overwritten.
		if _, err := s.Load(BlobPermanent); err != nil {
			return err
		}
	}
	b, err := appendSealed(s.sealed[:0], BlobPermanent, s.seq+1, state, s.opt.key)
	if err == nil {
		s.sealed = b
		err = s.save(b)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	s.seq++
	s.head = append(s.head[:0], b[:fileHeader]...)
	return nil
}

func (s *StateDir) save(b []byte) error {
	again, err := s.checkName()
	if err != nil {
		return err
	}
	if again || int64(len(b)) > s.slots.size && !s.slots.block {
		return s.writeNew(b, nil)
	}
	next := slotA
	if s.current == slotA {
		next = slotB
	}
	err = s.slots.write(next, b)
	if err == nil {
		err = s.flush()
	}
	if err != nil {
		// The caller undoes the change, so the new state must not be loaded at the
		// next start.
		if s.slots.erase(next) == nil {
			s.flush()
		}
		return err
	}
	s.current = next
	// The new state is stored even if the erasing fails, so the caller must not
	// undo the change. What could not be erased is erased by the next save.
	if err := errors.Join(s.slots.erase(slotA+slotB-next), s.slots.erase(regionVolatile)); err != nil {
		s.opt.Log("%s: an older state cannot be erased now: %v", s.slots.path, err)
	}
	return nil
}

// writeNew writes a new file with a sealed permanent and, if not nil, a sealed
// volatile state, and gives it the name.
func (s *StateDir) writeNew(permanent, volatile []byte) error {
	temp := s.name + fileTemp
	if err := unix.Unlinkat(int(s.dir.Fd()), temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	f, err := openIn(s.dir, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, s.mode())
	if err != nil {
		return err
	}
	n := &slotFile{f: f, path: s.file(), size: regionSize(max(len(permanent), len(volatile)))}
	if n.id, err = idOf(f); err == nil {
		err = s.fill(f, n, permanent, volatile)
	}
	if err == nil {
		err = unix.Renameat(int(s.dir.Fd()), temp, int(s.dir.Fd()), s.name)
	}
	if err != nil {
		f.Close()
		unix.Unlinkat(int(s.dir.Fd()), temp, 0)
		return err
	}
	if s.own {
		// The lock belongs to the open file, which the two share.
		if err := s.shareLock(f); err != nil {
			f.Close()
			return err
		}
	}
	if s.slots != nil {
		s.slots.f.Close()
	}
	s.slots, s.current = n, slotA
	return s.flushDir()
}

// fill writes n, the regions of the new file f, and flushes it.
func (s *StateDir) fill(f *os.File, n *slotFile, permanent, volatile []byte) error {
	if s.opt.Mode != 0 {
		if err := f.Chmod(s.opt.Mode); err != nil {
			return err
		}
	}
	if s.own {
		if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return err
		}
	}
	err := errors.Join(f.Truncate(regions*n.size), n.reserve(), n.write(slotA, permanent), n.erase(slotB))
	if volatile == nil {
		err = errors.Join(err, n.erase(regionVolatile))
	} else {
		err = errors.Join(err, n.write(regionVolatile, volatile))
	}
	if err == nil && !s.opt.NoSync {
		err = f.Sync()
	}
	return err
}

// shareLock makes f, which is locked, the lock of a state in a file of its own.
func (s *StateDir) shareLock(f *os.File) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.lock.Close()
	s.lock = os.NewFile(uintptr(fd), s.path)
	s.lockID, err = idOf(s.lock)
	return err
}

// saveVolatile replaces the volatile state. There must be a permanent state.
func (s *StateDir) saveVolatile(state []byte) error {
	if !s.held {
		return errUnlocked
	}
	b, err := sealFile(BlobVolatile, 0, state, s.opt.key)
	if err == nil {
		err = s.putVolatile(b)
	}
	if err != nil {
		return fmt.Errorf("save volatile state: %w", err)
	}
	return nil
}

func (s *StateDir) putVolatile(b []byte) error {
	if !s.known || s.current < 0 {
		return errors.New("there is no permanent state")
	}
	again, err := s.checkName()
	if err != nil {
		return err
	}
	if again || int64(len(b)) > s.slots.size && !s.slots.block {
		permanent, err := s.slots.read(s.current)
		if err != nil {
			return err
		}
		return s.writeNew(permanent, b)
	}
	if err := s.slots.write(regionVolatile, b); err != nil {
		return err
	}
	return s.flush()
}

// RemoveVolatile erases the volatile state, if the directory holds one.
func (s *StateDir) RemoveVolatile() error {
	if !s.held {
		return errUnlocked
	}
	if s.slots == nil || s.slots.size == 0 {
		return nil
	}
	if _, err := s.slots.read(regionVolatile); err != nil {
		return err
	}
	if err := s.slots.erase(regionVolatile); err != nil {
		return err
	}
	return s.flush()
}

func (s *StateDir) flush() error {
	if s.opt.NoSync {
		return nil
	}
	return s.slots.flush()
}

func (s *StateDir) flushDir() error {
	if s.opt.NoSync {
		return nil
	}
	return s.dir.Sync()
}
