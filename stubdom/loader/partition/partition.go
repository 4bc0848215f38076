// Package partition reads the partition table of a disk: a GUID partition table (UEFI
// Specification 2.10, section 5.3), or the four primary partitions of a master boot
// record (section 5.2.1). A disk may also have none.
package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// ErrFormat is returned for a GUID partition table whose copies are both damaged.
var ErrFormat = errors.New("partition: damaged GUID partition table")

// A GUID as it is on the disk.
type GUID [16]byte

// String returns the usual form, in lower case.
func (g GUID) String() string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g[:]), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:])
}

// Types of partitions that matter to a boot loader.
const (
	TypeESP      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeXBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
)

// A Part is a partition. Start and Size are in bytes.
type Part struct {
	Number      int    // from 1 on, as in device names
	Type        string // GUID, or the type of a master boot record as two hexadecimal digits
	Name        string
	Start, Size int64
}

// A Table has the partitions of a disk in the order of their numbers.
type Table struct {
	Parts []Part
	// GPT is the table as firmware measures it (TCG PC Client Platform Firmware Profile
	// 1.06, UEFI_GPT_DATA): header, number of partitions, their entries. It is nil
	// unless the disk has a GUID partition table.
	GPT []byte
}

const (
	sectorSize = 512
	signature  = "EFI PART"
	headerSize = 92
	entrySize  = 128

	maxEntries = 1024 // partition entries of a table; there are usually 128
	protective = 0xee // type of the one partition that a master boot record then has
)

// Read reads the table of a disk of size bytes. A disk without one has no partitions,
// which is no error.
func Read(r io.ReaderAt, size int64) (Table, error) {
	var mbr [sectorSize]byte
	if size < sectorSize {
		return Table{}, nil
	}
	if _, err := r.ReadAt(mbr[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return Table{}, err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return Table{}, nil
	}
	gpt := false
	var t Table
	for i := range 4 {
		e := mbr[446+16*i:]
		start, n := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		gpt = gpt || e[4] == protective
		// A file system may have a boot sector with the same signature: what it has in
		// place of entries makes no sense.
		if e[0]&0x7f != 0 {
			return Table{}, nil
		}
		if e[4] == 0 || start == 0 || n == 0 || (start+n)*sectorSize > size {
			continue
		}
		t.Parts = append(t.Parts, Part{Number: i + 1, Type: fmt.Sprintf("%02x", e[4]), Start: start * sectorSize, Size: n * sectorSize})
	}
	if !gpt {
		return t, nil
	}
	t, err := readGPT(r, size, 1)
	if err != nil {
		if t, err2 := readGPT(r, size, size/sectorSize-1); err2 == nil {
			return t, nil
		}
	}
	return t, err
}

// readGPT reads the copy of the table whose header is in a sector.
func readGPT(r io.ReaderAt, size, sector int64) (Table, error) {
	h := make([]byte, sectorSize)
	if n, err := r.ReadAt(h, sector*sectorSize); n < len(h) {
		return Table{}, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	le := binary.LittleEndian
	length, sum := le.Uint32(h[12:]), le.Uint32(h[16:])
	if string(h[:8]) != signature || length < headerSize || length > sectorSize {
		return Table{}, fmt.Errorf("%w: no header in sector %d", ErrFormat, sector)
	}
	clean := append([]byte(nil), h[:length]...)
	clear(clean[16:20])
	if crc32.ChecksumIEEE(clean) != sum || int64(le.Uint64(h[24:])) != sector {
		return Table{}, fmt.Errorf("%w: checksum of the header in sector %d", ErrFormat, sector)
	}
	at, n, each := le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	if n > maxEntries || each != entrySize || at > uint64(size/sectorSize) {
		return Table{}, fmt.Errorf("%w: %d entries of %d bytes in sector %d", ErrFormat, n, each, at)
	}
	entries := make([]byte, n*each)
	if got, err := r.ReadAt(entries, int64(at)*sectorSize); got < len(entries) {
		return Table{}, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if crc32.ChecksumIEEE(entries) != le.Uint32(h[88:]) {
		return Table{}, fmt.Errorf("%w: checksum of the entries", ErrFormat)
	}
	return parse(h[:headerSize], entries, size), nil
}

// parse makes the table of checked entries. Partitions that are not on the disk are left
// out.
func parse(header, entries []byte, size int64) Table {
	var t Table
	var used []byte
	count := uint64(0)
	le := binary.LittleEndian
	for i := 0; len(entries) >= entrySize; i++ {
		e := entries[:entrySize]
		entries = entries[entrySize:]
		kind := GUID(e[:16])
		if kind == (GUID{}) {
			continue
		}
		used = append(used, e...)
		count++
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if first == 0 || last < first || last >= uint64(size/sectorSize) {
			continue
		}
		var name [36]uint16
		n := 0
		for n < len(name) && le.Uint16(e[56+2*n:]) != 0 {
			name[n] = le.Uint16(e[56+2*n:])
			n++
		}
		t.Parts = append(t.Parts, Part{Number: i + 1, Type: kind.String(), Name: string(utf16.Decode(name[:n])),
			Start: int64(first) * sectorSize, Size: int64(last-first+1) * sectorSize})
	}
	t.GPT = append(le.AppendUint64(append([]byte(nil), header...), count), used...)
	return t
}
