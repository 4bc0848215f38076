package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"stubtpm/drivers/tpmhw"
)

// Files of Linux with ACPI's TPM2 table and physical memory.
const (
	tpm2Table      = "/sys/firmware/acpi/tables/TPM2"
	physicalMemory = "/dev/mem"
)

// tpmInfo prints the configuration lines that the manager's domain needs to use this
// machine's TPM.
func tpmInfo(table, memory string, stdout io.Writer) error {
	b, err := os.ReadFile(table)
	if err != nil {
		return fmt.Errorf("%w; without this table, a TPM can only be at the registers at %#x", err, tpmhw.Base)
	}
	t, err := tpmhw.ParseTable(b)
	if err != nil {
		return fmt.Errorf("%s: %w", table, err)
	}
	fmt.Fprintf(stdout, "# control area at %#x, start method %v\n", t.Control, t.Start)
	f, err := os.Open(memory)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := tpmhw.PlanFor(t, func(addr uint64, size int) (tpmhw.Registers, error) {
		w := make(readOnly, size)
		// In words: a TPM's registers support no other access.
		for at := 0; at+4 <= size; at += 4 {
			if _, err := f.ReadAt(w[at:at+4], int64(addr)+int64(at)); err != nil {
				return nil, err
			}
		}
		return w, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, p)
	return nil
}

// readOnly is a copy of registers; writes are ignored.
type readOnly []byte

func (r readOnly) Read8(off int) uint8     { return r[off] }
func (r readOnly) Read32(off int) uint32   { return binary.LittleEndian.Uint32(r[off:]) }
func (r readOnly) Write8(off int, v uint8) {}

func (r readOnly) Write32(off int, v uint32) {}
