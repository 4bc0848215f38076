package doorbell

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/eventlog"
	"stubtpm/drivers/tpmhw"
	"stubtpm/drivers/xen"
)

// ssdt is ssdt.asl, compiled by `iasl -p ssdt ssdt.asl`.
//
//go:embed ssdt.aml
var ssdt []byte

// Sizes and offsets of tables (ACPI Specification 6.5, sections 5.2.5 and 5.2.6; TCG ACPI
// Specification 1.4, table "TPM2"). Numbers are little-endian.
const (
	tableHeader   = 36
	tableLength   = 4 // of 32 bits
	tableChecksum = 9

	rsdpSize     = 36
	rsdpXSDT     = 24 // address of 64 bits
	rsdpChecksum = 32 // makes the sum of all bytes 0

	tpm2Size = 76
)

// maxTables is how many tables an XSDT of the toolstack may list. It lists two.
const maxTables = 64

// errTables means that the guest's memory does not have the tables that the toolstack
// makes.
var errTables = errors.New("doorbell: malformed ACPI tables")

// sum returns the byte that makes the sum of b and itself 0.
func sum(b []byte) (s byte) {
	for _, c := range b {
		s -= c
	}
	return s
}

// table returns a table: a header with the signature, and its contents.
func table(signature string, revision byte, contents []byte) []byte {
	b := make([]byte, tableHeader, tableHeader+len(contents))
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[tableLength:], uint32(tableHeader+len(contents)))
	b[8] = revision
	copy(b[10:], "STBTPM")
	copy(b[16:], "CRB")
	binary.LittleEndian.PutUint32(b[24:], 1)
	copy(b[28:], "STBT")
	binary.LittleEndian.PutUint32(b[32:], 1)
	b = append(b, contents...)
	b[tableChecksum] = sum(b)
	return b
}

// tpm2Table returns the TPM2 table, with the event log.
func tpm2Table() []byte {
	b := make([]byte, tpm2Size-tableHeader)
	binary.LittleEndian.PutUint64(b[4:], crb.ControlFrame*xen.PageSize)
	binary.LittleEndian.PutUint32(b[12:], uint32(tpmhw.StartACPI))
	binary.LittleEndian.PutUint32(b[28:], eventlog.AreaSize)
	binary.LittleEndian.PutUint64(b[32:], crb.LogFrame*xen.PageSize)
	return table("TPM2", 4, b)
}

// readRSDP reads the root pointer that is at an address, and returns it with the address
// of its XSDT.
func readRSDP(m io.ReaderAt, at uint64) ([]byte, uint64, error) {
	b := make([]byte, rsdpSize)
	if _, err := m.ReadAt(b, int64(at)); err != nil {
		return nil, 0, err
	}
	if string(b[:8]) != "RSD PTR " || sum(b) != 0 {
		return nil, 0, fmt.Errorf("%w: no root pointer at %#x", errTables, at)
	}
	return b, binary.LittleEndian.Uint64(b[rsdpXSDT:]), nil
}

// addTables writes the tables of a TPM into the page at TablesFrame, with a copy of the
// XSDT that lists them, too, and has the root pointer at an address point to that. Done
// twice it changes nothing.
func addTables(m interface {
	io.ReaderAt
	io.WriterAt
}, rsdpAt uint64) error {
	const page = crb.TablesFrame * xen.PageSize
	rsdp, at, err := readRSDP(m, rsdpAt)
	if err != nil {
		return err
	}
	var b [xen.PageSize]byte
	second := uint64(copy(b[:], ssdt)+15) &^ 15
	third := (second + uint64(copy(b[second:], tpm2Table())) + 15) &^ 15
	if at == page+third {
		return nil
	}
	var header [tableHeader]byte
	if _, err := m.ReadAt(header[:], int64(at)); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(header[tableLength:])
	if string(header[:4]) != "XSDT" || n < tableHeader || n > tableHeader+8*maxTables || n%8 != tableHeader%8 {
		return fmt.Errorf("%w: no XSDT at %#x", errTables, at)
	}
	list := make([]byte, n-tableHeader)
	if _, err := m.ReadAt(list, int64(at+tableHeader)); err != nil {
		return err
	}
	list = binary.LittleEndian.AppendUint64(list, page)
	list = binary.LittleEndian.AppendUint64(list, page+second)
	copy(b[third:], table("XSDT", header[8], list))
	if _, err := m.WriteAt(b[:], page); err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(rsdp[rsdpXSDT:], page+third)
	rsdp[rsdpChecksum] = 0
	rsdp[rsdpChecksum] = sum(rsdp)
	_, err = m.WriteAt(rsdp, int64(rsdpAt))
	return err
}
