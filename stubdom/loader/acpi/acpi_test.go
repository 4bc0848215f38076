package acpi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// memory has a root pointer at 0, an XSDT and two tables.
func memory() []byte {
	b := make([]byte, 1024)
	le := binary.LittleEndian
	copy(b, "RSD PTR ")
	le.PutUint64(b[24:], 100)
	put := func(at int, signature string, body []byte) {
		copy(b[at:], signature)
		le.PutUint32(b[at+4:], uint32(36+len(body)))
		copy(b[at+36:], body)
	}
	put(100, "XSDT", le.AppendUint64(le.AppendUint64(nil, 300), 400))
	put(300, "FACP", []byte("xx"))
	put(400, "TPM2", []byte("body"))
	return b
}

func TestTable(t *testing.T) {
	t.Parallel()
	b := memory()
	got, err := Table(bytes.NewReader(b), 0, "TPM2")
	if err != nil || string(got[36:]) != "body" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Table(bytes.NewReader(b), 0, "SSDT"); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, at := range []int{0, 30, 100, 105, 106} {
		bad := bytes.Clone(b)
		bad[at] ^= 0xff
		if _, err := Table(bytes.NewReader(bad), 0, "TPM2"); !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(memory(), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, rsdp uint64) { Table(bytes.NewReader(b), rsdp, "TPM2") })
}
