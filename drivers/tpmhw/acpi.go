package tpmhw

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Table is the part of ACPI's TPM2 table that locates a TPM (TCG ACPI
// Specification 1.4, table "TPM2").
type Table struct {
	Control uint64 // physical address of the control area
	Start   StartMethod
}

// A StartMethod is how a command is started (the same specification, table
// "Start Method Values for ACPI Table for TPM 2.0").
type StartMethod uint32

// Start methods.
const (
	StartACPI    StartMethod = 2 // by an ACPI method
	StartTIS     StartMethod = 6 // by the FIFO interface; there is no CRB
	StartCRB     StartMethod = 7 // by a CRB register
	StartCRBACPI StartMethod = 8 // by a CRB register and an ACPI method
)

func (s StartMethod) String() string {
	switch s {
	case StartACPI:
		return "ACPI"
	case StartTIS:
		return "TIS"
	case StartCRB:
		return "CRB"
	case StartCRBACPI:
		return "CRB and ACPI"
	}
	return fmt.Sprintf("%d", uint32(s))
}

// errTable is returned for bytes that are not a TPM2 table.
var errTable = errors.New("tpmhw: not a TPM2 table")

// Offsets in the table.
const (
	tableLength  = 4  // 4 bytes
	tableControl = 40 // 8
	tableStart   = 48 // 4
	tableMin     = 52
)

// ParseTable parses a TPM2 table, such as Linux's
// /sys/firmware/acpi/tables/TPM2. Numbers are little-endian.
func ParseTable(b []byte) (Table, error) {
	if len(b) < tableMin || string(b[:4]) != "TPM2" {
		return Table{}, errTable
	}
	n := binary.LittleEndian.Uint32(b[tableLength:])
	if n < tableMin || uint64(n) > uint64(len(b)) {
		return Table{}, fmt.Errorf("%w: length %d of %d bytes", errTable, n, len(b))
	}
	var sum byte
	for _, c := range b[:n] {
		sum += c
	}
	if sum != 0 {
		return Table{}, fmt.Errorf("%w: checksum", errTable)
	}
	return Table{binary.LittleEndian.Uint64(b[tableControl:]), StartMethod(binary.LittleEndian.Uint32(b[tableStart:]))}, nil
}
