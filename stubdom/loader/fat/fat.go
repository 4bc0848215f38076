package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Errors of this package, and those of io/fs.
var (
	ErrNoFAT       = errors.New("fat: no FAT file system")
	ErrFormat      = errors.New("fat: damaged file system")
	ErrUnsupported = errors.New("fat: not supported")
)

const sectorSize = 512 // of the boot sector's fields, at least

// The cluster counts by which the kinds of FAT are told apart.
const (
	maxFAT12 = 4085
	maxFAT16 = 65525
	maxFAT32 = 0x0ffffff5
)

// FS is a file system. It implements fs.FS, fs.StatFS and fs.ReadDirFS. It is not safe
// for concurrent use.
type FS struct {
	r           io.ReaderAt
	bits        int    // of an entry in the table: 12, 16 or 32
	clusters    uint32 // number of clusters; the first one is 2
	clusterSize int64
	table       int64 // offset of the first table
	data        int64 // offset of cluster 2
	root        uint32
	rootAt      int64 // offset and size in bytes of the root of FAT12 and FAT16
	rootSize    int64

	window   [4096]byte // a part of the table
	windowAt int64      // its offset in the table; -1 for none
}

// New returns the file system on r, which has size bytes.
func New(r io.ReaderAt, size int64) (*FS, error) {
	var b [sectorSize]byte
	if size < sectorSize {
		return nil, ErrNoFAT
	}
	if err := readFull(r, b[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables := int64(le.Uint16(b[14:])), int64(b[16])
	rootEntries, total := int64(le.Uint16(b[17:])), int64(le.Uint16(b[19:]))
	tableSectors := int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	fat32 := tableSectors == 0
	if fat32 {
		tableSectors = int64(le.Uint32(b[36:]))
	}
	powerOfTwo := func(v int64) bool { return v > 0 && v&(v-1) == 0 }
	if le.Uint16(b[510:]) != 0xaa55 || !powerOfTwo(sector) || sector < 512 || sector > 4096 || !powerOfTwo(perCluster) ||
		reserved == 0 || tables == 0 || tables > 4 || tableSectors == 0 {
		return nil, ErrNoFAT
	}
	f := &FS{r: r, clusterSize: sector * perCluster, table: reserved * sector, windowAt: -1}
	f.rootAt = (reserved + tables*tableSectors) * sector
	f.rootSize = rootEntries * entrySize
	f.data = f.rootAt + (f.rootSize+sector-1)/sector*sector
	count := (total*sector - f.data) / f.clusterSize
	switch {
	case total*sector > size || count < 1 || count > maxFAT32:
		return nil, fmt.Errorf("%w: %d clusters", ErrFormat, count)
	case fat32:
		f.bits, f.root = 32, le.Uint32(b[44:])
	case count < maxFAT12:
		f.bits = 12
	case count < maxFAT16:
		f.bits = 16
	default:
		return nil, fmt.Errorf("%w: %d clusters", ErrFormat, count)
	}
	if (count+2)*int64(f.bits) > tableSectors*sector*8 {
		return nil, fmt.Errorf("%w: a table of %d sectors", ErrFormat, tableSectors)
	}
	f.clusters = uint32(count)
	return f, nil
}

// next returns the cluster after c in its chain; end reports whether c is the last one.
func (f *FS) next(c uint32) (next uint32, end bool, err error) {
	at := int64(c) * int64(f.bits) / 8
	var b [4]byte
	for i := range (f.bits + 7) / 8 {
		if b[i], err = f.tableByte(at + int64(i)); err != nil {
			return 0, false, err
		}
	}
	v := binary.LittleEndian.Uint32(b[:])
	switch f.bits {
	case 12:
		if c%2 == 1 {
			v >>= 4
		}
		return v & 0xfff, v&0xfff >= 0xff8, nil
	case 16:
		return v, v >= 0xfff8, nil
	}
	v &= 0x0fffffff
	return v, v >= 0x0ffffff8, nil
}

// tableByte returns a byte of the table.
func (f *FS) tableByte(at int64) (byte, error) {
	const size = int64(len(f.window))
	if start := at / size * size; start != f.windowAt {
		n := min(size, f.data-f.table-start)
		f.windowAt = -1
		if err := readFull(f.r, f.window[:n], f.table+start); err != nil {
			return 0, err
		}
		f.windowAt = start
	}
	return f.window[at%size], nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
