package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ErrStartInfo is returned for memory that does not describe a guest that can be
// measured.
var ErrStartInfo = errors.New("launch: invalid start info")

// Limits of what a guest's start info may describe.
const (
	// MaxCommandLine is the largest length of a command line in bytes. Linux takes
	// 2047 (COMMAND_LINE_SIZE).
	MaxCommandLine = 4095
	// MaxModules is the largest number of modules. Linux takes one, its initrd.
	MaxModules = 8
	// lowMemory is the end of the memory that a PVH guest starts in.
	lowMemory = 1 << 32
	pageSize  = 4096
)

// A Module is a file that the toolstack loaded for the guest, such as an initrd.
type Module struct {
	Address uint64 // of its first byte
	Size    uint64 // in bytes, that of the file
}

func (m Module) end() uint64 { return m.Address + m.Size }

// A StartInfo is what a PVH guest is told when it starts.
type StartInfo struct {
	Address     uint64 // of struct hvm_start_info, a multiple of 4096
	Modules     []Module
	CommandLine string // "" also without one
}

// Sizes and offsets in struct hvm_start_info and hvm_modlist_entry.
const (
	startMagic  = 0x336ec578
	startSize   = 40 // of version 0
	moduleSize  = 32
	atVersion   = 4
	atModules   = 12
	atModlist   = 16
	atCmdline   = 24
	modSize     = 8
	modCmdline  = 16
	modReserved = 24
)

// ReadStartInfo reads the start info at an address, which the first virtual CPU has
// in EBX, from a guest's memory. It returns ErrStartInfo for one that is not
// aligned, not version 0 or 1, or has more than MaxModules modules or a command line
// that is longer than MaxCommandLine bytes or not UTF-8; for modules that are empty,
// not aligned, not below 4 GiB, overlap one another or the start info, or have a
// command line of their own, which nothing would measure; and the error of mem.
func ReadStartInfo(mem io.ReaderAt, address uint64) (*StartInfo, error) {
	if address == 0 || address%pageSize != 0 || address >= lowMemory {
		return nil, fmt.Errorf("%w: address %#x", ErrStartInfo, address)
	}
	b := make([]byte, startSize)
	if err := readFull(mem, b, address); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if m := le.Uint32(b); m != startMagic {
		return nil, fmt.Errorf("%w: magic %#x at %#x", ErrStartInfo, m, address)
	}
	if v := le.Uint32(b[atVersion:]); v > 1 {
		return nil, fmt.Errorf("%w: version %d", ErrStartInfo, v)
	}
	s := &StartInfo{Address: address}
	var err error
	if s.CommandLine, err = readCommandLine(mem, le.Uint64(b[atCmdline:])); err != nil {
		return nil, err
	}
	if err := s.readModules(mem, le.Uint32(b[atModules:]), le.Uint64(b[atModlist:])); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *StartInfo) readModules(mem io.ReaderAt, n uint32, list uint64) error {
	if n > MaxModules || n > 0 && (list == 0 || list > lowMemory-MaxModules*moduleSize) {
		return fmt.Errorf("%w: list of %d modules at %#x", ErrStartInfo, n, list)
	}
	b := make([]byte, n*moduleSize)
	if err := readFull(mem, b, list); err != nil {
		return err
	}
	for i := range int(n) {
		le, e := binary.LittleEndian, b[i*moduleSize:][:moduleSize]
		m := Module{le.Uint64(e), le.Uint64(e[modSize:])}
		if m.Address == 0 || m.Size == 0 || m.Address%pageSize != 0 || m.Address >= lowMemory || m.Size > lowMemory-m.Address {
			return fmt.Errorf("%w: module of %#x bytes at %#x", ErrStartInfo, m.Size, m.Address)
		}
		if le.Uint64(e[modCmdline:]) != 0 || le.Uint64(e[modReserved:]) != 0 {
			return fmt.Errorf("%w: module with a command line", ErrStartInfo)
		}
		for _, o := range append(s.Modules, Module{s.Address, pageSize}) {
			if m.Address < o.end() && o.Address < m.end() {
				return fmt.Errorf("%w: module at %#x overlaps %#x to %#x", ErrStartInfo, m.Address, o.Address, o.end())
			}
		}
		s.Modules = append(s.Modules, m)
	}
	return nil
}

// readCommandLine reads a string that a zero ends. Address 0 means no command
// line.
func readCommandLine(mem io.ReaderAt, address uint64) (string, error) {
	if address == 0 {
		return "", nil
	}
	if address >= lowMemory {
		return "", fmt.Errorf("%w: command line at %#x", ErrStartInfo, address)
	}
	var line []byte
	for len(line) <= MaxCommandLine {
		// To the end of a page at most: the guest may have no memory behind it.
		b := make([]byte, min(pageSize-address%pageSize, MaxCommandLine+1-uint64(len(line))))
		if err := readFull(mem, b, address); err != nil {
			return "", err
		}
		text, _, end := bytes.Cut(b, []byte{0})
		line = append(line, text...)
		if end {
			if !utf8.Valid(line) {
				return "", fmt.Errorf("%w: the command line is not UTF-8", ErrStartInfo)
			}
			return string(line), nil
		}
		address += uint64(len(b))
	}
	return "", fmt.Errorf("%w: the command line has more than %d bytes", ErrStartInfo, MaxCommandLine)
}

// readFull fills b from an address.
func readFull(mem io.ReaderAt, b []byte, address uint64) error {
	n, err := mem.ReadAt(b, int64(address))
	if n == len(b) {
		return nil // io.EOF may come with the last byte
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("launch: reading %d bytes of the guest's memory at %#x: %w", len(b), address, err)
}
