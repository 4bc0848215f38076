package hosted

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names of the files in a state directory. The state has the name that swtpm
// gives it: who looks for it, copies it or removes it finds the whole TPM.
const (
	fileState = "tpm2-00.permall"
	fileLock  = ".lock"
	fileTemp  = ".new" // suffix of a file that is being written
)

// StateOptions say how a state is kept.
type StateOptions struct {
	Mode   os.FileMode // of the files; 0640 if zero, or less where they have less
	NoSync bool        // leave the time of writing to the kernel: a loss of power may lose the TPM
	Key    *Key        // encrypts the state, if set
	Log    Logger      // is told what is wrong and does not keep the TPM from being used
	Strict bool        // makes that an error

	// Unlocked opens the state while another process may have it: for a TPM
	// that is being migrated to this one. Nothing is written before Lock.
	Unlocked bool
}

// Errors of a save whose file is not what its name leads to any more.
var (
	errReplaced = errors.New("was replaced by another file while it is in use; it is not written over")
	errDirMoved = errors.New("state directory was moved or replaced while it is in use")
)

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
	seq     uint64    // of the newest slot; 0 if there is none
	current int       // newest slot; -1 if there is none
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
	if s.opt.Unlocked {
		return s.openFile()
	}
	return s.Lock(0)
}

// refuseOlder keeps a directory in the format of an earlier version from
// getting a second, new TPM.
func (s *StateDir) refuseOlder() error {
	for _, name := range []string{"tpm2.state.a", "tpm2.state.b"} {
		var st unix.Stat_t
		if unix.Fstatat(int(s.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return fmt.Errorf("%s holds a TPM in the format of an earlier version (%s), which this one does not read", s.path, name)
		}
	}
	return nil
}

// mode is that of a new file.
func (s *StateDir) mode() os.FileMode {
	if s.opt.Mode == 0 {
		return 0o640
	}
	return s.opt.Mode
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

// closeFile forgets the file and what is known of it.
func (s *StateDir) closeFile() {
	if s.slots != nil {
		s.slots.f.Close()
	}
	s.slots, s.known = nil, false
}

// checkMode gives an existing file the mode that was asked for, or takes away
// what is more than the default.
func (s *StateDir) checkMode(f *os.File) error {
	if err := s.checkOwner(f, f.Name()); err != nil || s.slots.block {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	want := s.opt.Mode
	if want == 0 {
		want = info.Mode().Perm() & 0o640
	}
	if want == info.Mode().Perm() {
		return nil
	}
	if err := f.Chmod(want); err != nil {
		return s.complain(fmt.Errorf("mode of %s: %w", f.Name(), err))
	}
	return nil
}

func (s *StateDir) checkOwner(f *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if why := exposed(&st); why != "" {
		return s.complain(fmt.Errorf("%s %s, who can read or replace the TPM's state", name, why))
	}
	return nil
}

// complain logs what is wrong, or returns it with --strict.
func (s *StateDir) complain(err error) error {
	if s.opt.Strict {
		return fmt.Errorf("%w (refused by --strict)", err)
	}
	s.opt.Log("warning: %v", err)
	return nil
}

// String is the path that was given.
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

// loadPermanent reads the newest slot.
func (s *StateDir) loadPermanent() ([]byte, error) {
	s.seq, s.current, s.head = 0, -1, nil
	if s.slots == nil || s.slots.size == 0 {
		s.known = true
		return nil, nil
	}
	state, seq, found, skipped, err := s.slots.newest(s.opt.Key)
	if err == nil && found < 0 && !s.own {
		// A file that this program made is never without a state.
		err = fmt.Errorf("%w: %s holds no state", ErrDamaged, s.slots.path)
	}
	if err != nil {
		return nil, err
	}
	if skipped != nil && !s.known {
		if err := s.complain(fmt.Errorf("%s: the slot with sequence %s cannot be read (%w); the state with sequence %d is in use, which may be an older one",
			s.slots.path, skipped.seq, skipped.err, seq)); err != nil {
			return nil, err
		}
	}
	s.seq, s.current, s.known = seq, found, true
	if found >= 0 {
		s.head, err = s.readHead()
	}
	return state, err
}

func (s *StateDir) readHead() ([]byte, error) {
	b := make([]byte, fileHeader)
	_, err := s.slots.f.ReadAt(b, int64(s.current)*s.slots.size)
	return b, err
}

// Load returns a part of the state, or nil if there is none.
func (s *StateDir) Load(t BlobType) ([]byte, error) {
	if !s.held {
		// Another process may have written the file, or a new one.
		if err := s.openFile(); err != nil {
			return nil, err
		}
	}
	if t == BlobPermanent {
		return s.loadPermanent()
	}
	if s.slots == nil || s.slots.size == 0 {
		return nil, nil
	}
	b, err := s.slots.read(regionVolatile)
	if err != nil || isErased(b) {
		return nil, err
	}
	state, err := openFile(t, b, s.opt.Key)
	if err != nil {
		return nil, fmt.Errorf("%s, volatile state: %w", s.slots.path, err)
	}
	return state, nil
}

// Size returns the length in bytes of a part of the state, and whether it
// exists.
func (s *StateDir) Size(t BlobType) (int, bool) {
	b, err := s.Load(t)
	return len(b), err == nil && b != nil
}

// Save replaces the permanent state and erases the one before, and the volatile
// state, which belonged to it. Unless NoSync is set the new state survives a
// loss of power when Save returns nil.
func (s *StateDir) Save(state []byte) error {
	if !s.held {
		return errUnlocked
	}
	if !s.known {
		// What cannot be read is not written over.
		if _, err := s.Load(BlobPermanent); err != nil {
			return err
		}
	}
	b, err := appendSealed(s.sealed[:0], BlobPermanent, s.seq+1, state, s.opt.Key)
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
	anew, err := s.checkName()
	if err != nil {
		return err
	}
	if anew || int64(len(b)) > s.slots.size && !s.slots.block {
		return s.writeAnew(b, nil)
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
		// Who called takes the change back: it must not return at the next start.
		if s.slots.erase(next) == nil {
			s.flush()
		}
		return err
	}
	s.current = next
	// The new state is there, whatever becomes of the erasing: who called must not
	// take the change back. What could not be erased is erased by the next save.
	if err := errors.Join(s.slots.erase(slotA+slotB-next), s.slots.erase(regionVolatile)); err != nil {
		s.opt.Log("%s: an older state cannot be erased now: %v", s.slots.path, err)
	}
	return nil
}

// checkName reports whether the file has to be written anew, since its name
// leads nowhere. It fails where the name leads to another file, for instance to
// one that was put back from a backup.
func (s *StateDir) checkName() (anew bool, err error) {
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
		err = s.lockAnew()
	}
	return err
}

// checkFile is checkName for a file that is not simply in its place.
func (s *StateDir) checkFile() (anew bool, err error) {
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
		s.opt.Log("%s was removed while it is in use; it is written anew", s.slots.path)
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

// writeAnew writes a new file with a sealed permanent and, if not nil, a sealed
// volatile state, and gives it the name.
func (s *StateDir) writeAnew(permanent, volatile []byte) error {
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
	b, err := sealFile(BlobVolatile, 0, state, s.opt.Key)
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
	anew, err := s.checkName()
	if err != nil {
		return err
	}
	if anew || int64(len(b)) > s.slots.size && !s.slots.block {
		permanent, err := s.slots.read(s.current)
		if err != nil {
			return err
		}
		return s.writeAnew(permanent, b)
	}
	if err := s.slots.write(regionVolatile, b); err != nil {
		return err
	}
	return s.flush()
}

// RemoveVolatile erases the volatile state; it is no error if there is none.
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

// digest is the check of an unencrypted file; it finds damage, not attacks.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
