package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Errors of this package, and those of io/fs.
var (
	ErrFormat      = errors.New("ext4: damaged file system")
	ErrNoExt4      = errors.New("ext4: no ext2, ext3 or ext4 file system")
	ErrUnsupported = errors.New("ext4: feature not supported")
)

// The superblock: its place on the disk, and offsets of its fields.
const (
	superOffset = 1024
	superSize   = 1024

	offInodes         = 0x00
	offBlocksLow      = 0x04
	offFirstBlock     = 0x14
	offLogBlockSize   = 0x18
	offBlocksPerGroup = 0x20
	offInodesPerGroup = 0x28
	offMagic          = 0x38
	offRevision       = 0x4c
	offInodeSize      = 0x58
	offIncompat       = 0x60
	offDescSize       = 0xfe
	offMetaGroup      = 0x104
	offBlocksHigh     = 0x150

	magic = 0xef53
)

// Features without which a file system cannot be read (s_feature_incompat).
const (
	hasFileType = 0x2
	recover     = 0x4 // the journal has not been replayed
	hasMetaBG   = 0x10
	hasExtents  = 0x40
	has64Bit    = 0x80
	hasMMP      = 0x100
	hasFlexBG   = 0x200
	hasSeed     = 0x2000
	hasLargeDir = 0x4000
	hasInline   = 0x8000
	hasEncrypt  = 0x10000
	hasCaseFold = 0x20000

	supported = hasFileType | recover | hasMetaBG | hasExtents | has64Bit | hasMMP | hasFlexBG | hasSeed | hasLargeDir | hasInline | hasEncrypt | hasCaseFold
)

const (
	minInodeSize = 128
	oldRevision  = 0
	rootInode    = 2
)

// FS is a file system. It implements fs.FS, fs.StatFS and fs.ReadDirFS, and is safe for
// concurrent use if its reader is.
type FS struct {
	r              io.ReaderAt
	blockSize      int64
	blocks         uint64
	inodes         uint32
	firstBlock     uint64
	blocksPerGroup uint64
	inodesPerGroup uint32
	inodeSize      int64
	descSize       int64
	metaBG         bool
	firstMetaBG    uint64
}

// New returns the file system on r, which has size bytes.
func New(r io.ReaderAt, size int64) (*FS, error) {
	var b [superSize]byte
	if size < superOffset+superSize {
		return nil, ErrNoExt4
	}
	if err := readFull(r, b[:], superOffset); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint16(b[offMagic:]) != magic {
		return nil, ErrNoExt4
	}
	incompat := le.Uint32(b[offIncompat:])
	if other := incompat &^ supported; other != 0 {
		return nil, fmt.Errorf("%w: s_feature_incompat %#x", ErrUnsupported, other)
	}
	log := le.Uint32(b[offLogBlockSize:])
	if log > 6 { // 64 KiB
		return nil, fmt.Errorf("%w: block size 1024<<%d", ErrFormat, log)
	}
	f := &FS{
		r: r, blockSize: 1024 << log, inodes: le.Uint32(b[offInodes:]),
		blocks: uint64(le.Uint32(b[offBlocksLow:])), firstBlock: uint64(le.Uint32(b[offFirstBlock:])),
		blocksPerGroup: uint64(le.Uint32(b[offBlocksPerGroup:])), inodesPerGroup: le.Uint32(b[offInodesPerGroup:]),
		inodeSize: minInodeSize, descSize: 32,
		metaBG: incompat&hasMetaBG != 0, firstMetaBG: uint64(le.Uint32(b[offMetaGroup:])),
	}
	if le.Uint32(b[offRevision:]) != oldRevision {
		f.inodeSize = int64(le.Uint16(b[offInodeSize:]))
	}
	if incompat&has64Bit != 0 {
		f.blocks |= uint64(le.Uint32(b[offBlocksHigh:])) << 32
		f.descSize = int64(le.Uint16(b[offDescSize:]))
	}
	return f, f.check(size)
}

// check returns an error for values by which other code could not calculate.
func (f *FS) check(size int64) error {
	powerOfTwo := func(v int64) bool { return v > 0 && v&(v-1) == 0 }
	switch {
	case f.inodeSize < minInodeSize || f.inodeSize > f.blockSize || !powerOfTwo(f.inodeSize):
		return fmt.Errorf("%w: inodes of %d bytes", ErrFormat, f.inodeSize)
	case f.descSize < 32 || f.descSize > f.blockSize || !powerOfTwo(f.descSize):
		return fmt.Errorf("%w: group descriptors of %d bytes", ErrFormat, f.descSize)
	case f.blocksPerGroup == 0 || f.inodesPerGroup == 0 || f.inodes < rootInode:
		return fmt.Errorf("%w: groups of %d blocks, %d inodes", ErrFormat, f.blocksPerGroup, f.inodesPerGroup)
	case f.blocks == 0 || f.blocks > uint64(size)/uint64(f.blockSize):
		return fmt.Errorf("%w: %d blocks of %d bytes on %d bytes", ErrFormat, f.blocks, f.blockSize, size)
	}
	return nil
}

// readBlocks reads b from a block on. All of it must be in the file system.
func (f *FS) readBlocks(b []byte, block uint64, offset int64) error {
	n := uint64(offset+int64(len(b))+f.blockSize-1) / uint64(f.blockSize)
	if block >= f.blocks || n > f.blocks-block {
		return fmt.Errorf("%w: block %d of %d", ErrFormat, block, f.blocks)
	}
	return readFull(f.r, b, int64(block)*f.blockSize+offset)
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
