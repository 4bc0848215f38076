package hosted

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A storedState is one entry of --print-states.
type storedState struct {
	Name string
	Size int64
}

// storedStates lists what a file holds by the headers in it, without a key and
// without the lock. A file that cannot be read is listed as a permanent state of
// its size, so that callers do not take it for an empty one.
func storedStates(path string) ([]storedState, error) {
	dir, err := openDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := openIn(dir, filepath.Base(path), unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return nil, err
	}
	s, err := openSlots(f, path)
	if errors.Is(err, errDamaged) {
		return []storedState{{"permall", end}}, nil
	}
	if err != nil {
		return nil, err
	}
	return s.stored(end)
}

func (s *slotFile) stored(end int64) (states []storedState, err error) {
	permanent, volatile := int64(-1), int64(-1)
	newest := uint64(0)
	blank := true
	for i := range regions {
		b, err := s.read(i)
		if err != nil {
			return nil, err
		}
		blank = blank && s.used[i] == 0
		if isErased(b) {
			continue
		}
		n := end
		seq, ours := headSequence(b)
		if ours {
			n = int64(binary.BigEndian.Uint32(b[12:]))
		}
		switch {
		case i == regionVolatile && ours:
			volatile = n
		case i != regionVolatile && (permanent < 0 || seq >= newest):
			permanent, newest = n, seq
		}
	}
	if permanent < 0 && !blank {
		permanent = end
	}
	if permanent >= 0 {
		states = append(states, storedState{"permall", permanent})
	}
	if volatile >= 0 {
		states = append(states, storedState{"volatile", volatile})
	}
	return states, nil
}
