// Package acpi finds a table among those of ACPI (ACPI Specification 6.5, section 5.2).
package acpi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat is returned for tables that cannot be read.
var ErrFormat = errors.New("acpi: damaged tables")

const (
	rsdpSize     = 36
	rsdpXSDT     = 24 // offset of the XSDT's address
	headerSize   = 36
	maxTable     = 1 << 16 // bytes
	headerLength = 4       // offset of the table's length
)

// Table returns the first table with a signature of four characters, or nil. mem reads the machine's memory, and rsdp is the address of the root pointer.
func Table(mem io.ReaderAt, rsdp uint64, signature string) ([]byte, error) {
	root, err := read(mem, rsdp, rsdpSize)
	if err != nil {
		return nil, err
	}
	if string(root[:8]) != "RSD PTR " {
		return nil, fmt.Errorf("%w: no root pointer at %#x", ErrFormat, rsdp)
	}
	le := binary.LittleEndian
	xsdt, err := table(mem, le.Uint64(root[rsdpXSDT:]))
	if err != nil {
		return nil, err
	}
	if string(xsdt[:4]) != "XSDT" {
		return nil, fmt.Errorf("%w: no XSDT", ErrFormat)
	}
	for list := xsdt[headerSize:]; len(list) >= 8; list = list[8:] {
		at := le.Uint64(list)
		if h, err := read(mem, at, headerSize); err == nil && string(h[:4]) == signature {
			return table(mem, at)
		}
	}
	return nil, nil
}

// table reads a table, whose length is in its header.
func table(mem io.ReaderAt, at uint64) ([]byte, error) {
	h, err := read(mem, at, headerSize)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(h[headerLength:])
	if n < headerSize || n > maxTable {
		return nil, fmt.Errorf("%w: %q of %d bytes", ErrFormat, h[:4], n)
	}
	return read(mem, at, int(n))
}

func read(mem io.ReaderAt, at uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	if at > 1<<62 {
		return nil, fmt.Errorf("%w: address %#x", ErrFormat, at)
	}
	if got, err := mem.ReadAt(b, int64(at)); got < n {
		return nil, fmt.Errorf("%w: address %#x: %w", ErrFormat, at, err)
	}
	return b, nil
}
