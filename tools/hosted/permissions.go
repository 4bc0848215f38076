package hosted

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mode returns the mode of a new file.
func (s *StateDir) mode() os.FileMode {
	if s.opt.Mode == 0 {
		return 0o640
	}
	return s.opt.Mode
}

// checkMode gives an existing file the mode of the options. Without one it clears
// the bits beyond the default.
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
		return s.complain(fmt.Errorf("%s %s: other users can read or replace the TPM's state", name, why))
	}
	return nil
}

// complain logs err as a warning and returns nil; with --strict it returns err.
func (s *StateDir) complain(err error) error {
	if s.opt.Strict {
		return fmt.Errorf("%w (refused by --strict)", err)
	}
	s.opt.Log("warning: %v", err)
	return nil
}

// exposed returns why other users can change a file or directory, or "" if they
// cannot.
func exposed(st *unix.Stat_t) string {
	sticky := st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Sprintf("belongs to user %d", st.Uid)
	case st.Mode&0o002 != 0 && !sticky:
		return fmt.Sprintf("is writable by every user (mode 0%o)", st.Mode&0o7777)
	}
	return ""
}
