package uki

import (
	"cmp"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrImage is returned for a file that is no EFI program, or not one that can be
// measured without doubt about what its measurement covers.
var ErrImage = errors.New("uki: invalid EFI program")

// maxSections is the largest number of sections. A UKI has some 20.
const maxSections = 96

// An Image is an EFI program. It is not safe for concurrent use.
type Image struct {
	file     io.ReaderAt
	sections []*pe.Section // with contents in the file, in its order
	hashed   []span        // what the Authenticode hash covers, without padding
	whole    bool          // there are no gaps
	size     int64
}

// A span is a part of a file.
type span struct{ from, to int64 }

// Open reads the headers of an EFI program for x86-64, a file of size bytes. It
// returns ErrImage if headers, sections or the certificate table are not within the
// file, overlap one another, or are not in the order that an Authenticode hash
// assumes.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	f, err := pe.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrImage, err)
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || h.Subsystem != pe.IMAGE_SUBSYSTEM_EFI_APPLICATION {
		return nil, fmt.Errorf("%w: want an application for x86-64", ErrImage)
	}
	i := &Image{file: r, size: size}
	for _, s := range f.Sections {
		if s.Size > 0 {
			i.sections = append(i.sections, s)
		}
	}
	slices.SortStableFunc(i.sections, func(a, b *pe.Section) int { return cmp.Compare(a.Offset, b.Offset) })
	table := int64(f.SizeOfOptionalHeader) + sectionHeaderSize*int64(f.NumberOfSections)
	return i, i.check(h, table)
}

// Offsets in a PE file: the address of the PE header, from which on the fields are.
const (
	atHeader          = 0x3C
	atOptional        = 24
	atCheckSum        = 24 + 64
	atDirectories     = 24 + 112
	certificateTable  = pe.IMAGE_DIRECTORY_ENTRY_SECURITY
	directorySize     = 8
	sectionHeaderSize = 40
)

// check makes the list of what is hashed, and checks that all else is the checksum,
// the certificate table and its entry, or a gap that no section covers. table is the size
// of the optional header and the table of sections behind it, which must be hashed.
func (i *Image) check(h *pe.OptionalHeader64, table int64) error {
	var b [4]byte
	if _, err := i.file.ReadAt(b[:], atHeader); err != nil {
		return fmt.Errorf("%w: %v", ErrImage, err)
	}
	header := int64(binary.LittleEndian.Uint32(b[:]))
	checkSum, entry := header+atCheckSum, header+atDirectories+certificateTable*directorySize
	headers := int64(h.SizeOfHeaders)
	if h.NumberOfRvaAndSizes <= certificateTable || len(i.sections) > maxSections {
		return fmt.Errorf("%w: no entry for a certificate table, or more than %d sections", ErrImage, maxSections)
	}
	certificates := h.DataDirectory[certificateTable]
	end := i.size - int64(certificates.Size)
	if certificates.Size > 0 && int64(certificates.VirtualAddress) != end {
		return fmt.Errorf("%w: the certificate table is not at the end of the file", ErrImage)
	}
	if headers < max(entry+directorySize, header+atOptional+table) || headers > end {
		return fmt.Errorf("%w: headers of %d bytes", ErrImage, headers)
	}
	i.hashed = []span{{0, checkSum}, {checkSum + 4, entry}, {entry + directorySize, headers}}
	last, sum := headers, headers
	i.whole = true
	for _, s := range i.sections {
		from, to := int64(s.Offset), int64(s.Offset)+int64(s.Size)
		if from < last || to > end {
			return fmt.Errorf("%w: section %.8q at %#x to %#x overlaps another part or is not within the file", ErrImage, s.Name, from, to)
		}
		i.whole = i.whole && from == last
		i.hashed = append(i.hashed, span{from, to})
		last, sum = to, sum+int64(s.Size)
	}
	// What follows the sections begins, for the hash, after as many bytes as were
	// hashed, also where a gap puts the sections' end behind that.
	i.hashed = append(i.hashed, span{sum, max(sum, end)})
	return nil
}

// Whole reports whether the Authenticode hash covers all of the file but the checksum, the
// certificate table and its entry. The hash does not cover gaps between headers and
// sections, which firmware does not load; who uses the file otherwise must see to them.
func (i *Image) Whole() bool { return i.whole }

// Section returns the contents of a section, nil if the image does not have it or
// it is empty. It returns ErrImage if the image has two of that name, or if a part of
// its contents is not in the file.
func (i *Image) Section(name string) (*io.SectionReader, error) {
	var found *io.SectionReader
	for _, s := range i.sections {
		if s.Name != name || s.VirtualSize == 0 {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: two sections %s", ErrImage, name)
		}
		if s.VirtualSize > s.Size {
			return nil, fmt.Errorf("%w: section %s has %d bytes in memory, %d in the file", ErrImage, name, s.VirtualSize, s.Size)
		}
		found = io.NewSectionReader(i.file, int64(s.Offset), int64(s.VirtualSize))
	}
	return found, nil
}
