package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTPMInfo reads a table and a control area as Linux shows them.
func TestTPMInfo(t *testing.T) {
	t.Parallel()
	const control, buffer = 0x5000, 0x6000
	table := make([]byte, 76)
	copy(table, "TPM2")
	binary.LittleEndian.PutUint32(table[4:], 76)
	binary.LittleEndian.PutUint64(table[40:], control)
	binary.LittleEndian.PutUint32(table[48:], 7)
	var sum byte
	for _, c := range table {
		sum += c
	}
	table[9] = -sum
	memory := make([]byte, 0x8000)
	for off, v := range map[int]uint32{0x18: 0x1000, 0x1C: buffer, 0x24: 0x1000, 0x28: buffer} {
		binary.LittleEndian.PutUint32(memory[control+off:], v)
	}
	dir := t.TempDir()
	tableFile, memoryFile := filepath.Join(dir, "TPM2"), filepath.Join(dir, "mem")
	for name, b := range map[string][]byte{tableFile: table, memoryFile: memory} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := tpmInfo(tableFile, memoryFile, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"start method CRB", `iomem = ["5,2"]`, `extra = "tpm=5000"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := tpmInfo(memoryFile, memoryFile, &out); err == nil {
		t.Error("what is no table was taken")
	}
}
