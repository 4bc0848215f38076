package xenlife

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrClaimed means that another process makes a domain of the same name.
var ErrClaimed = errors.New("xenlife: another process makes a domain of this name")

// claim has this process alone make a domain of a name, until release is called or the process
// ends. Two at once would take each other's domain for their own, and destroy it.
func (h *Host) claim(name string) (release func(), err error) {
	if err := os.MkdirAll(h.State, 0o755); err != nil {
		return nil, err
	}
	// A name may have any bytes.
	f, err := os.OpenFile(filepath.Join(h.State, fmt.Sprintf("%x.lock", sha256.Sum256([]byte(name)))), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrClaimed
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
