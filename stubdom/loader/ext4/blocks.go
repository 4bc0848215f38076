package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
)

// An extent tree: a header of 12 bytes, then entries of 12 bytes.
const (
	extentMagic   = 0xf30a
	extentEntry   = 12
	maxDepth      = 5
	maxExtent     = 32768 // an extent with more blocks is not written yet: zeros
	directBlocks  = 12
	indirectLevel = 3
)

// A run is a part of a file, in blocks. Disk 0 means zeros.
type run struct {
	file, disk, count uint64
}

// runAt returns the run that contains a block of a file. Behind the file's last run it
// is only zeros.
func (f *FS) runAt(i *inode, block uint64) (run, error) {
	if i.flags&flagExtents != 0 {
		return f.extentAt(i, block)
	}
	return f.mapAt(i, block)
}

// extentAt walks down the tree of extents.
func (f *FS) extentAt(i *inode, block uint64) (run, error) {
	le := binary.LittleEndian
	node, end := i.block[:], ^uint64(0)
	depth := -1
	for {
		n, d := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
		if le.Uint16(node) != extentMagic || (n+1)*extentEntry > len(node) || d > maxDepth || depth >= 0 && d != depth-1 {
			return run{}, fmt.Errorf("%w: extents of inode %d", ErrFormat, i.number)
		}
		depth = d
		// The last entry that starts at the block or before it; the entry after it
		// ends it.
		var entry []byte
		for e := range n {
			at := node[(e+1)*extentEntry:][:extentEntry]
			start := uint64(le.Uint32(at))
			if start > block {
				end = min(end, start)
				break
			}
			entry = at
		}
		if entry == nil {
			return run{file: block, count: end - block}, nil
		}
		start := uint64(le.Uint32(entry))
		if depth == 0 {
			return leaf(entry, start, block, end), nil
		}
		child := uint64(le.Uint32(entry[4:])) | uint64(le.Uint16(entry[8:]))<<32
		node = make([]byte, f.blockSize)
		if err := f.readBlocks(node, child, 0); err != nil {
			return run{}, err
		}
	}
}

// leaf returns the run of an extent that starts at start, or the hole after it.
func leaf(entry []byte, start, block, end uint64) run {
	le := binary.LittleEndian
	count := uint64(le.Uint16(entry[4:]))
	disk := uint64(le.Uint32(entry[8:])) | uint64(le.Uint16(entry[6:]))<<32
	if count > maxExtent {
		count, disk = count-maxExtent, 0
	}
	stop := min(start+count, end)
	if block >= stop {
		return run{file: block, count: end - block}
	}
	if disk != 0 {
		disk += block - start
	}
	return run{file: block, disk: disk, count: stop - block}
}

// mapAt looks up a block in the map of ext2 and ext3: 12 blocks, then blocks of block
// numbers, one, two and three levels deep.
func (f *FS) mapAt(i *inode, block uint64) (run, error) {
	le := binary.LittleEndian
	if block < directBlocks {
		return run{file: block, disk: uint64(le.Uint32(i.block[4*block:])), count: 1}, nil
	}
	per := uint64(f.blockSize / 4)
	rest, size := block-directBlocks, uint64(1)
	for level := range indirectLevel {
		size *= per // of blocks below the level's root
		if rest >= size {
			rest -= size
			continue
		}
		at := uint64(le.Uint32(i.block[4*(directBlocks+level):]))
		for below := size / per; ; below /= per {
			if at == 0 { // nothing below it: zeros
				return run{file: block, count: below*per - rest%(below*per)}, nil
			}
			var b [4]byte
			if err := f.readBlocks(b[:], at, int64(rest/below)*4); err != nil {
				return run{}, err
			}
			at, rest = uint64(le.Uint32(b[:])), rest%below
			if below == 1 {
				return run{file: block, disk: at, count: 1}, nil
			}
		}
	}
	return run{}, fmt.Errorf("%w: block %d of inode %d", ErrFormat, block, i.number)
}

// readAt reads from a file. It returns io.EOF at the file's end.
func (f *FS) readAt(i *inode, b []byte, off int64) (int, error) {
	if off < 0 || off >= i.size {
		return 0, io.EOF
	}
	var end error
	if rest := i.size - off; int64(len(b)) > rest {
		b, end = b[:rest], io.EOF
	}
	done := 0
	for done < len(b) {
		at := off + int64(done)
		r, err := f.runAt(i, uint64(at/f.blockSize))
		if err != nil {
			return done, err
		}
		in := at % f.blockSize
		n := len(b) - done
		if most := uint64(n)/uint64(f.blockSize) + 2; r.count < most {
			n = min(n, int(int64(r.count)*f.blockSize-in))
		}
		part := b[done : done+n]
		if r.disk == 0 {
			clear(part)
		} else if err := f.readBlocks(part, r.disk, in); err != nil {
			return done, err
		}
		done += n
	}
	return done, end
}
