package hosted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names of the files in a state directory. The state has the name that swtpm
// gives it, so that scripts which look for it, copy it or remove it work.
const (
	fileState = "tpm2-00.permall"
	fileLock  = ".lock"
	fileTemp  = ".new" // suffix of a file that is being written
)

// StateOptions are options of OpenStateDir and OpenStateFile.
type StateOptions struct {
	Mode   os.FileMode // of the files; 0640 if zero, or less where they have less
	NoSync bool        // leave the time of writing to the kernel: a loss of power may lose the TPM
	key    *stateKey   // encrypts the state, if set
	Log    Logger      // is told what is wrong and does not keep the TPM from being used
	Strict bool        // makes that an error

	// unlocked opens the state without the lock, which the source of a migration
	// may still hold. Nothing is written before Lock.
	unlocked bool
}

// A StateDir keeps one TPM's state: a file in a directory, or a file or block
// device of its own. It is locked against other processes until Close. It is
// not safe for concurrent use.
type StateDir struct {
	path string // as it was given
	opt  StateOptions
	own  bool     // path is the file itself, and not its directory
	dir  *os.File // directory of the file
	name string   // of the file in dir
	lock *os.File
	held bool // the lock

	dirID, lockID fileID

	slots   *slotFile // nil if there is no file
	known   bool      // the following is read from the file
	seq     uint64    // of the newest slot; 0 before the first save
	current int       // newest slot; -1 before the first save
	head    []byte    // header of the newest slot
	sealed  []byte    // memory for the next sealed state
}

// OpenStateDir opens the state in a directory and locks it. The directory is
// made if it is missing, in a directory that exists.
func OpenStateDir(dir string, opt StateOptions) (*StateDir, error) {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return openState(dir, dir, fileState, false, opt)
}

// OpenStateFile opens the state in a file, which is made if it is missing, or
// on a block device, and locks it.
func OpenStateFile(path string, opt StateOptions) (*StateDir, error) {
	return openState(path, filepath.Dir(path), filepath.Base(path), true, opt)
}

func openState(path, dir, name string, own bool, opt StateOptions) (*StateDir, error) {
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	d, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &StateDir{path: path, opt: opt, own: own, dir: d, name: name, current: -1}
	if s.dirID, err = idOf(d); err == nil {
		err = s.prepare()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare locks the state and opens its file, if there is one.
func (s *StateDir) prepare() error {
	if err := s.checkOwner(s.dir, s.dir.Name()); err != nil {
		return err
	}
	if !s.own {
		if err := s.refuseOlder(); err != nil {
			return err
		}
	}
	err := s.openLock()
	if err != nil {
		return err
	}
	if s.opt.unlocked {
		return s.openFile()
	}
	return s.Lock(0)
}

// refuseOlder returns an error for a directory in the format of an earlier version,
// which would otherwise get a second, new TPM.
func (s *StateDir) refuseOlder() error {
	for _, name := range []string{"tpm2.state.a", "tpm2.state.b"} {
		var st unix.Stat_t
		if unix.Fstatat(int(s.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return fmt.Errorf("%s holds a TPM in the format of an earlier version (%s), which this one does not read", s.path, name)
		}
	}
	return nil
}

// openFile opens the state file, if there is one.
func (s *StateDir) openFile() error {
	s.closeFile()
	f, err := openIn(s.dir, s.name, unix.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.slots, err = openSlots(f, s.file()); err == nil && s.held {
		err = s.checkMode(f)
	}
	if err != nil {
		f.Close()
		s.slots = nil
	}
	return err
}

// closeFile closes the file and drops what was read from it.
func (s *StateDir) closeFile() {
	if s.slots != nil {
		s.slots.f.Close()
	}
	s.slots, s.known = nil, false
}

// String returns the path of the directory or file.
func (s *StateDir) String() string { return s.path }

// file is the path of the state file.
func (s *StateDir) file() string { return filepath.Join(s.dir.Name(), s.name) }

// onBlockDevice reports whether the state is on a block device.
func (s *StateDir) onBlockDevice() bool { return s.slots != nil && s.slots.block }

// Close flushes what was erased last, and releases the lock.
func (s *StateDir) Close() error {
	var err error
	if s.slots != nil {
		if s.held && s.known && !s.opt.NoSync {
			err = s.slots.flush()
		}
		err = errors.Join(err, s.slots.f.Close())
	}
	if s.lock != nil {
		if s.held {
			// A child that is being started may have the descriptor still.
			flock(s.lock, unix.LOCK_UN)
		}
		err = errors.Join(err, s.lock.Close())
	}
	return errors.Join(err, s.dir.Close())
}
