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
	fileSlotA    = "tpm2.state.a"
	fileSlotB    = "tpm2.state.b"
	fileVolatile = "tpm2.volatile"
	fileLock     = ".lock"
	fileTemp     = ".new"   // suffix of a file that is being written
	fileAside    = ".stale" // suffix of a volatile state that could not be resumed from

	fileSwtpm = "tpm2-00.permall" // swtpm's own, which is another format
)

// StateOptions say how a state directory is kept.
type StateOptions struct {
	Mode   os.FileMode // of the files; 0640 if zero
	NoSync bool        // leave the time of writing to the kernel: a loss of power may lose the last commands
	Key    *Key        // encrypts the files, if set

	// Unlocked opens the directory while another process may have it: for a TPM
	// that is being migrated to this one. Nothing is written before Lock.
	Unlocked bool
}

// A StateDir is the directory of one TPM's state. It is locked against other
// processes until Close.
//
// The permanent state has two slots, files that are written in turns, in place,
// and flushed: a crash spoils the slot that was being written, and the other
// one is the state before. (A new file, renamed over the old one, would be as
// safe and cost two commits of the file system's journal each time.) The
// volatile state is one file, replaced as a whole.
type StateDir struct {
	dir  string
	opt  StateOptions
	lock *os.File
	held bool     // the lock
	sync *os.File // the directory, for flushing new names

	slots [2]*os.File // as opened by the first Save
	known bool        // newest and seq are read from the files
	seq   uint64      // of the newest slot; 0 if there is none
	next  int         // slot to be written next
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
	d, err := os.Open(dir)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &StateDir{dir: dir, opt: opt, lock: lock, sync: d}
	if !opt.Unlocked {
		if err := s.Lock(0); err != nil {
			s.Close()
			return nil, err
		}
	}
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
	_, a := os.Stat(s.slot(0))
	_, b := os.Stat(s.slot(1))
	if foreign == nil && a != nil && b != nil {
		return fmt.Errorf("%s holds a TPM of swtpm (%s), whose format cannot be read; choose another directory", s.dir, fileSwtpm)
	}
	return nil
}

// String names the directory.
func (s *StateDir) String() string { return s.dir }

// Close releases the lock.
func (s *StateDir) Close() error {
	for _, f := range s.slots {
		if f != nil {
			f.Close()
		}
	}
	return errors.Join(s.sync.Close(), s.lock.Close())
}

func (s *StateDir) slot(i int) string {
	return filepath.Join(s.dir, [2]string{fileSlotA, fileSlotB}[i])
}

// Save replaces the permanent state. Unless NoSync is set the new state
// survives a loss of power when Save returns nil.
func (s *StateDir) Save(state []byte) error {
	if !s.held {
		return errUnlocked
	}
	if !s.known {
		// Slots that cannot be read are not written over.
		if _, err := s.Load(BlobPermanent); err != nil {
			return err
		}
	}
	b, err := sealFile(BlobPermanent, s.seq+1, state, s.opt.Key)
	if err != nil {
		return err
	}
	f, err := s.openSlot(s.next)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if _, err = f.WriteAt(b, 0); err == nil && !s.opt.NoSync {
		err = syscall.Fdatasync(int(f.Fd()))
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	s.seq, s.next = s.seq+1, 1-s.next
	return nil
}

// openSlot opens a slot's file, once; the name of a new one is made durable.
func (s *StateDir) openSlot(i int) (*os.File, error) {
	if s.slots[i] != nil {
		return s.slots[i], nil
	}
	f, err := os.OpenFile(s.slot(i), os.O_RDWR|os.O_CREATE, s.opt.Mode)
	if err != nil {
		return nil, err
	}
	s.slots[i] = f
	return f, s.flushDir()
}

// loadPermanent reads the newest slot. One slot that cannot be read is taken
// for one that a crash spoiled, if the other can be.
func (s *StateDir) loadPermanent() ([]byte, error) {
	var newest []byte
	var failed error
	s.seq, s.next = 0, 0
	for i := range s.slots {
		b, err := os.ReadFile(s.slot(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var state []byte
		var seq uint64
		if err == nil {
			state, seq, err = openSlot(BlobPermanent, b, s.opt.Key)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.slot(i), err))
			continue
		}
		if newest == nil || seq > s.seq {
			newest, s.seq, s.next = state, seq, 1-i
		}
	}
	if newest == nil && failed != nil {
		return nil, failed
	}
	s.known = true
	return newest, nil
}

// saveVolatile replaces the volatile state.
func (s *StateDir) saveVolatile(state []byte) error {
	if !s.held {
		return errUnlocked
	}
	b, err := sealFile(BlobVolatile, 0, state, s.opt.Key)
	if err != nil {
		return err
	}
	name := filepath.Join(s.dir, fileVolatile)
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
		return fmt.Errorf("save volatile state: %w", err)
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
	if t == BlobPermanent {
		return s.loadPermanent()
	}
	name := filepath.Join(s.dir, fileVolatile)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := openFile(t, b, s.opt.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return state, nil
}

// Size returns the length in bytes of a part of the state, and whether it
// exists.
func (s *StateDir) Size(t BlobType) (int, bool) {
	b, err := s.Load(t)
	return len(b), err == nil && b != nil
}

// RemoveVolatile deletes the volatile state; it is no error if there is none.
func (s *StateDir) RemoveVolatile() error {
	if err := os.Remove(filepath.Join(s.dir, fileVolatile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.flushDir()
}

// setVolatileAside renames the volatile state's file, for whoever wants to look
// at it, and returns its new name.
func (s *StateDir) setVolatileAside() (string, error) {
	name := filepath.Join(s.dir, fileVolatile)
	if err := os.Rename(name, name+fileAside); err != nil {
		return "", err
	}
	return name + fileAside, s.flushDir()
}

// digest is the check of an unencrypted file; it finds damage, not attacks.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
