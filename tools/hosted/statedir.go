package hosted

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Names of the files in a state directory.
const (
	filePermanent = "tpm2.state"
	fileVolatile  = "tpm2.volatile"
	fileLock      = ".lock"
	fileTemp      = ".new" // suffix of a file that is being written

	fileSwtpm = "tpm2-00.permall" // swtpm's own, which is another format
)

// StateOptions say how a state directory is kept.
type StateOptions struct {
	Mode   os.FileMode // of the files; 0640 if zero
	NoSync bool        // leave the time of writing to the kernel: a loss of power may lose the last commands
	Key    *Key        // encrypts the files, if set
}

// A StateDir is the directory of one TPM's state. It is locked against other
// processes until Close.
//
// A file is replaced as a whole: written under another name, flushed, renamed,
// and the directory flushed. So a crash leaves the old state or the new one.
type StateDir struct {
	dir  string
	opt  StateOptions
	lock *os.File
	sync *os.File // the directory, for flushing the rename
}

// OpenStateDir creates the directory if it is missing, and locks it.
func OpenStateDir(dir string, opt StateOptions) (*StateDir, error) {
	if opt.Mode == 0 {
		opt.Mode = 0o640
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, fileLock), os.O_RDWR|os.O_CREATE, opt.Mode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("state directory %s is in use by another process", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &StateDir{dir: dir, opt: opt, lock: lock, sync: d}
	if err := s.refuseForeign(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// refuseForeign keeps a directory with swtpm's state from getting a second,
// new TPM beside it.
func (s *StateDir) refuseForeign() error {
	_, foreign := os.Stat(filepath.Join(s.dir, fileSwtpm))
	_, own := os.Stat(filepath.Join(s.dir, filePermanent))
	if foreign == nil && own != nil {
		return fmt.Errorf("%s holds a TPM of swtpm (%s), whose format cannot be read; choose another directory", s.dir, fileSwtpm)
	}
	return nil
}

// String names the directory.
func (s *StateDir) String() string { return s.dir }

// Close releases the lock.
func (s *StateDir) Close() error {
	return errors.Join(s.sync.Close(), s.lock.Close())
}

func (s *StateDir) path(t BlobType) string {
	if t == BlobVolatile {
		return filepath.Join(s.dir, fileVolatile)
	}
	return filepath.Join(s.dir, filePermanent)
}

// Save replaces the permanent state. Unless NoSync is set the new state
// survives a loss of power when Save returns nil.
func (s *StateDir) Save(state []byte) error { return s.save(BlobPermanent, state) }

func (s *StateDir) save(t BlobType, state []byte) error {
	b, err := sealFile(t, state, s.opt.Key)
	if err != nil {
		return err
	}
	name := s.path(t)
	f, err := os.OpenFile(name+fileTemp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, s.opt.Mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && !s.opt.NoSync {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name+fileTemp, name)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return s.flushDir()
}

func (s *StateDir) flushDir() error {
	if s.opt.NoSync {
		return nil
	}
	return s.sync.Sync()
}

// Load returns a part of the state, or nil if there is none.
func (s *StateDir) Load(t BlobType) ([]byte, error) {
	b, err := os.ReadFile(s.path(t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := openFile(t, b, s.opt.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(t), err)
	}
	return state, nil
}

// Size returns the length in bytes of a part of the state, and whether it
// exists.
func (s *StateDir) Size(t BlobType) (int, bool) {
	b, err := s.Load(t)
	return len(b), err == nil && b != nil
}

// Remove deletes a part of the state; it is no error if there is none.
func (s *StateDir) Remove(t BlobType) error {
	if err := os.Remove(s.path(t)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.flushDir()
}

// digest is the check of an unencrypted file; it finds damage, not attacks.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
