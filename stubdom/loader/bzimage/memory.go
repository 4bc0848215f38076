package bzimage

import (
	"errors"
	"fmt"
	"io"
)

// ErrMemory is returned if kernel or initrd do not fit into the memory.
var ErrMemory = errors.New("bzimage: not enough memory")

const (
	pageSize = 4096

	// Pages at the start of the memory.
	paramsPage  = 0
	systemPage  = 1 // descriptor table and, at its end, the stack
	commandPage = 2
	tablesPage  = 3
	systemPages = tablesPage + tablePages

	maxCommandLine = pageSize - 1
)

// A Memory is a part of the machine's memory, below 4 GiB, that holds a kernel and its
// initrds.
type Memory struct {
	bytes []byte
	addr  uint64

	header Header
	kernel uint64 // address of the kernel; 0 before ReadKernel
	initrd uint64 // address of the first initrd
	end    uint64 // address behind the last initrd
}

// NewMemory returns the memory with that contents and that address, which must be a
// multiple of the page size.
func NewMemory(bytes []byte, addr uint64) *Memory {
	return &Memory{bytes: bytes, addr: addr}
}

// at returns size bytes at an address, which must be in the memory.
func (m *Memory) at(addr, size uint64) []byte {
	off := addr - m.addr
	return m.bytes[off : off+size : off+size]
}

// limit returns the address behind the memory.
func (m *Memory) limit() uint64 { return m.addr + uint64(len(m.bytes)) }

// ReadKernel reads a kernel's file of that size to its place and returns its bytes there.
// It must be called once, before ReadInitrd.
func (m *Memory) ReadKernel(r io.ReaderAt, size int64) ([]byte, error) {
	first := make([]byte, min(max(size, 0), HeaderSize))
	if err := readFull(r, first); err != nil {
		return nil, err
	}
	h, err := ParseHeader(first)
	if err != nil {
		return nil, err
	}
	if uint64(size) <= h.SetupSize+entryOffset {
		return nil, fmt.Errorf("%w: the file ends before its entry", ErrFormat)
	}
	addr, err := m.place(h, uint64(size)-h.SetupSize)
	if err != nil {
		return nil, err
	}
	b := m.at(addr-h.SetupSize, uint64(size))
	if err := readFull(r, b); err != nil {
		return nil, err
	}
	// The file may have changed since its first bytes were read: only what is in memory
	// now counts.
	again, err := ParseHeader(b[:len(first)])
	if err != nil || again.SetupSize != h.SetupSize || again.InitSize != h.InitSize || again.Alignment != h.Alignment || again.Preferred != h.Preferred {
		return nil, fmt.Errorf("%w: it changed while it was read", ErrFormat)
	}
	again.setup = append([]byte(nil), again.setup...)
	m.header, m.kernel = again, addr
	m.initrd = roundUp(addr+max(h.InitSize, uint64(size)-h.SetupSize), pageSize)
	m.end = m.initrd
	return b, nil
}

// place returns an address for a kernel of that size in its file.
func (m *Memory) place(h Header, size uint64) (uint64, error) {
	low := m.addr + systemPages*pageSize + h.SetupSize
	addr := h.Preferred
	if h.Relocatable {
		addr = roundUp(max(low, h.Preferred), h.Alignment)
	}
	need := max(h.InitSize, size)
	if addr < low || addr > m.limit() || need > m.limit()-addr || m.limit() > maxAddress {
		return 0, fmt.Errorf("%w: kernel needs %d MiB from %#x on; there are %d MiB from %#x on", ErrMemory, need>>20, addr, len(m.bytes)>>20, m.addr)
	}
	return addr, nil
}

// ReadInitrd reads an initrd of that size behind the last one and returns its bytes
// there.
func (m *Memory) ReadInitrd(r io.ReaderAt, size int64) ([]byte, error) {
	start := roundUp(m.end, 4)
	top := min(m.limit(), m.header.InitrdMax+1)
	if m.kernel == 0 || size < 0 || start > top || uint64(size) > top-start {
		return nil, fmt.Errorf("%w: an initrd of %d MiB at %#x; memory ends at %#x", ErrMemory, size>>20, start, top)
	}
	clear(m.at(m.end, start-m.end))
	b := m.at(start, uint64(size))
	if err := readFull(r, b); err != nil {
		return nil, err
	}
	m.end = start + uint64(size)
	return b, nil
}

// Initrd returns all initrds as the kernel gets them.
func (m *Memory) Initrd() []byte { return m.at(m.initrd, m.end-m.initrd) }

func readFull(r io.ReaderAt, b []byte) error {
	n, err := r.ReadAt(b, 0)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func roundUp(v, to uint64) uint64 { return (v + to - 1) &^ (to - 1) }
