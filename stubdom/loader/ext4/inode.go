package ext4

import (
	"encoding/binary"
	"fmt"
	"io/fs"
)

// Offsets of an inode's fields, and bits of its mode and flags.
const (
	offMode     = 0x00
	offSizeLow  = 0x04
	offFlags    = 0x20
	offBlock    = 0x28
	offSizeHigh = 0x6c
	blockLen    = 60

	modeType = 0xf000
	modeDir  = 0x4000
	modeFile = 0x8000
	modeLink = 0xa000

	flagCompressed = 0x4
	flagEncrypted  = 0x800
	flagExtents    = 0x80000
	flagInline     = 0x10000000
)

// An inode is a file, a directory or a symbolic link.
type inode struct {
	number uint32
	mode   uint16
	flags  uint32
	size   int64
	block  [blockLen]byte // i_block: a tree of extents, a map, or a short link's target
}

func (i *inode) isDir() bool  { return i.mode&modeType == modeDir }
func (i *inode) isFile() bool { return i.mode&modeType == modeFile }
func (i *inode) isLink() bool { return i.mode&modeType == modeLink }

// fsMode returns the mode as package fs has it.
func (i *inode) fsMode() fs.FileMode {
	m := fs.FileMode(i.mode & 0o777)
	switch {
	case i.isDir():
		m |= fs.ModeDir
	case i.isLink():
		m |= fs.ModeSymlink
	case !i.isFile():
		m |= fs.ModeIrregular
	}
	return m
}

// descriptor returns the block and the offset of a group's descriptor.
func (f *FS) descriptor(group uint64) (block uint64, offset int64) {
	perBlock := uint64(f.blockSize / f.descSize)
	at, in := group/perBlock, int64(group%perBlock)*f.descSize
	if f.metaBG && at >= f.firstMetaBG {
		// The descriptors of a meta group are in its first group, behind that
		// group's superblock if it has one.
		first := at * perBlock
		block = f.firstBlock + first*f.blocksPerGroup
		if hasSuper(first) {
			block++
		}
		return block, in
	}
	return f.firstBlock + 1 + at, in
}

// hasSuper reports whether a group has a copy of the superblock (sparse_super).
func hasSuper(group uint64) bool {
	if group < 2 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		p := base
		for p < group {
			p *= base
		}
		if p == group {
			return true
		}
	}
	return false
}

// inode reads an inode.
func (f *FS) inode(number uint32) (*inode, error) {
	if number == 0 || number > f.inodes {
		return nil, fmt.Errorf("%w: inode %d of %d", ErrFormat, number, f.inodes)
	}
	group, index := uint64((number-1)/f.inodesPerGroup), int64((number-1)%f.inodesPerGroup)
	desc := make([]byte, f.descSize)
	block, offset := f.descriptor(group)
	if err := f.readBlocks(desc, block, offset); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	table := uint64(le.Uint32(desc[8:]))
	if f.descSize >= 64 {
		table |= uint64(le.Uint32(desc[0x28:])) << 32
	}
	var b [minInodeSize]byte
	if err := f.readBlocks(b[:], table, index*f.inodeSize); err != nil {
		return nil, err
	}
	i := &inode{number: number, mode: le.Uint16(b[offMode:]), flags: le.Uint32(b[offFlags:])}
	copy(i.block[:], b[offBlock:])
	size := uint64(le.Uint32(b[offSizeLow:])) | uint64(le.Uint32(b[offSizeHigh:]))<<32
	if size > 1<<50 {
		return nil, fmt.Errorf("%w: inode %d has %d bytes", ErrFormat, number, size)
	}
	i.size = int64(size)
	if i.flags&(flagCompressed|flagEncrypted|flagInline) != 0 {
		return nil, fmt.Errorf("%w: inode %d has flags %#x", ErrUnsupported, number, i.flags)
	}
	return i, nil
}
