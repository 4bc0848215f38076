package hosted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The state of a TPM is one file, or one block device, of three regions of the
// same size: two slots for the permanent state and one for the volatile state.
// A region holds a sealed state (sealed.go) and zeros, or an erased header
// and zeros.
//
// A save writes and flushes the slot that is not in use and then erases the
// other one. So at each moment a crash leaves one whole state, and what a
// command removed from the state is in neither slot when it is answered.
const (
	slotA, slotB   = 0, 1
	regionVolatile = 2
	regions        = 3

	minRegion   = 64 << 10        // bytes; a file's region grows by doubling
	maxRegion   = 2 * maxBlob     // bytes
	regionAlign = 4096            // of a block device's regions
	erased      = 0               // blob type of an erased region
	sealExtra   = fileHeader + 32 // most that sealing adds, in bytes
	_           = uint(maxRegion - maxBlob - sealExtra)
)

// A slotFile is an open file of regions. It is not safe for concurrent use.
type slotFile struct {
	f     regionFile
	id    fileID
	path  string
	block bool           // a block device, whose size is fixed
	size  int64          // of a region
	used  [regions]int64 // bytes of each region that may not be zero
	blank []byte         // an erased region, grown as needed
}

// A regionFile is an *os.File, or in tests a file whose operations fail.
type regionFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Fd() uintptr
}

// regionSize is the size of the regions of a new file for n bytes.
func regionSize(n int) int64 {
	size := int64(minRegion)
	for size < int64(n) {
		size *= 2
	}
	return size
}

// openSlots takes an open file. An empty one has no regions yet: size is 0.
func openSlots(f *os.File, path string) (*slotFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &slotFile{f: f, path: path, block: info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0}
	if !s.block && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is neither a regular file nor a block device", path)
	}
	if s.id, err = idOf(f); err != nil {
		return nil, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return s, err
	}
	s.size = min(end/regions&^(regionAlign-1), maxRegion)
	if s.size < minRegion {
		return nil, fmt.Errorf("%w: %s has %d bytes, which is too short for a state of stubtpm (is it one of swtpm?)", errDamaged, path, end)
	}
	return s, nil
}

// read returns the bytes of a region up to its last one that is not zero.
func (s *slotFile) read(region int) ([]byte, error) {
	b := make([]byte, s.size)
	if _, err := s.f.ReadAt(b, int64(region)*s.size); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	n := len(bytes.TrimRight(b, "\x00"))
	s.used[region] = int64(n)
	// A sealed state may end in zeros; slicing keeps them readable.
	return b[:min(len(b), n+sealExtra)], nil
}

// write fills a region: b, and zeros over what it held beyond that.
func (s *slotFile) write(region int, b []byte) error {
	if int64(len(b)) > s.size {
		return fmt.Errorf("state has %d bytes; there is room for %d", len(b), s.size)
	}
	n := int64(len(b))
	if old := s.used[region]; old > n {
		b = append(bytes.Clone(b), make([]byte, old-n)...)
	}
	return s.put(region, b, n)
}

// put writes b over a region that holds nothing beyond len(b). All of b after the
// first n bytes is zero.
func (s *slotFile) put(region int, b []byte, n int64) error {
	s.used[region] = int64(len(b)) // where the write fails, too
	if _, err := s.f.WriteAt(b, int64(region)*s.size); err != nil {
		return err
	}
	s.used[region] = n
	return nil
}

// reserve allocates all regions, so that a disk that is full later does not fail a
// save. It does nothing on a file system that cannot.
func (s *slotFile) reserve() error {
	err := unix.Fallocate(int(s.f.Fd()), 0, 0, regions*s.size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// erase overwrites a region; only a header is left.
func (s *slotFile) erase(region int) error {
	if s.used[region] == int64(len(erasedHead)) {
		return nil
	}
	n := max(s.used[region], int64(len(erasedHead)))
	if int64(len(s.blank)) < n {
		s.blank = make([]byte, n)
		copy(s.blank, erasedHead)
	}
	return s.put(region, s.blank[:n], int64(len(erasedHead)))
}

// erasedHead begins an erased region. The rest of its header is zero.
var erasedHead = fileMagic + string([]byte{fileVersion})

// isErased reports whether a region holds no state.
func isErased(b []byte) bool {
	return len(bytes.TrimRight(b, "\x00")) == 0 ||
		bytes.HasPrefix(b, []byte(erasedHead)) && len(b) > 9 && b[9] == erased
}

func (s *slotFile) flush() error { return unix.Fdatasync(int(s.f.Fd())) }

// headSequence is the sequence in a header, which need not be authentic.
func headSequence(b []byte) (uint64, bool) {
	if len(b) < fileHeader || string(b[:len(fileMagic)]) != fileMagic {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[offSequence:]), true
}

// A skippedSlot is a slot that cannot be read, beside one that can.
type skippedSlot struct {
	err error
	seq string // from its header, which may be damaged
}

// newest finds the newest permanent state. With found < 0 and a nil error the file
// holds no state: every region is erased or was never written.
func (s *slotFile) newest(key *stateKey) (state []byte, seq uint64, found int, skipped *skippedSlot, err error) {
	found = -1
	for i := range regions {
		b, e := s.read(i) // the volatile one to know what of it is used
		if e != nil {
			return nil, 0, -1, nil, e
		}
		if i == regionVolatile || isErased(b) {
			continue
		}
		st, n, e := openSlot(BlobPermanent, b, key)
		switch {
		case e != nil:
			err = errors.Join(err, fmt.Errorf("%s, slot %d: %w", s.path, i, e))
			skipped = &skippedSlot{err: e, seq: "that cannot be read"}
			if n, ok := headSequence(b); ok {
				skipped.seq = fmt.Sprint(n)
			}
		case found < 0 || n > seq:
			state, seq, found = st, n, i
		}
	}
	if found >= 0 {
		err = nil
	}
	return state, seq, found, skipped, err
}
