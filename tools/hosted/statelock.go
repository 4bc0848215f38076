package hosted

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

var errUnlocked = errors.New("state directory is not locked by this process")

// lockStep is how long Lock waits between two tries.
const lockStep = 10 * time.Millisecond

// Lock takes the directory's lock, which another process may hold; it tries
// again so many times, each after 10 ms. It is no error if this process holds it.
func (s *StateDir) Lock(retries int) error {
	for try := 0; !s.held; try++ {
		err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			s.held = true
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", s.dir, err)
		case try >= retries:
			return fmt.Errorf("state directory %s is in use by another process", s.dir)
		default:
			time.Sleep(lockStep)
		}
	}
	return nil
}

// Unlock releases the lock. Another process may change the files then, so what
// is known of them is forgotten.
func (s *StateDir) Unlock() error {
	for i, f := range s.slots {
		if f != nil {
			f.Close()
		}
		s.slots[i] = nil
	}
	s.known, s.held = false, false
	return syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
}
