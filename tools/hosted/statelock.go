package hosted

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

var errUnlocked = errors.New("state directory is not locked by this process")

// lockStep is how long Lock waits between two tries.
const lockStep = 10 * time.Millisecond

// lockName is the name of the file that is locked: .lock, or the state file
// where it stands alone.
func (s *StateDir) lockName() string {
	if s.own {
		return s.name
	}
	return fileLock
}

// openLock opens or creates the file that is locked.
func (s *StateDir) openLock() error {
	f, err := openIn(s.dir, s.lockName(), unix.O_RDWR|unix.O_CREAT, s.mode())
	if err != nil {
		return err
	}
	if s.lock != nil {
		s.lock.Close()
	}
	s.lock, s.held = f, false
	s.lockID, err = idOf(f)
	return err
}

// Lock takes the lock, which another process may hold. It retries up to retries
// times, 10 ms apart. It does nothing if this process holds the lock. The state file
// is opened again, since another process may have written it.
func (s *StateDir) Lock(retries int) error {
	if s.held {
		return nil
	}
	if err := s.takeLock(retries); err != nil {
		return err
	}
	if err := s.openFile(); err != nil {
		return errors.Join(err, s.Unlock())
	}
	return nil
}

// takeLock locks the file that the lock's name leads to.
func (s *StateDir) takeLock(retries int) error {
	for try := 0; ; try++ {
		switch err := flock(s.lock, unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			n, _, err := leadsTo(s.dir, s.lockName(), s.lockID)
			if err == nil && n != nameOurs {
				err = s.openLock()
			} else if err == nil {
				s.held = true
				return nil
			}
			if err != nil {
				return err
			}
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", s.path, err)
		case try >= retries:
			return fmt.Errorf("state directory %s is in use by another process", s.path)
		default:
			time.Sleep(lockStep)
		}
	}
}

// relock opens and locks the file that the lock's name leads to now.
func (s *StateDir) relock() error {
	if err := s.openLock(); err != nil {
		return err
	}
	return s.takeLock(0)
}

// Unlock releases the lock. Another process may then change the file, so it is
// closed, and read again after the next Lock.
func (s *StateDir) Unlock() error {
	s.closeFile()
	s.held = false
	return flock(s.lock, unix.LOCK_UN)
}

func flock(f interface{ Fd() uintptr }, how int) error { return unix.Flock(int(f.Fd()), how) }
