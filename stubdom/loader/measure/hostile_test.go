package measure

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tpmtest"
)

// TestWhoseFault: only a failure of the TPM is ErrTPM, with which tpm=optional boots.
// What the disk can cause is not: the program that it starts unmeasured could extend the
// PCRs with what another one has.
func TestWhoseFault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, f := range map[string]func(m *Measurer) error{
		"a partition table larger than the log": func(m *Measurer) error {
			return m.PartitionTable(ctx, make([]byte, eventlog.AreaSize))
		},
		"a path larger than the log": func(m *Measurer) error {
			return m.Kernel(ctx, []byte("no PE"), strings.Repeat("a/", eventlog.AreaSize))
		},
		"a command line that is not UTF-8": func(m *Measurer) error { return m.CommandLine(ctx, "a=\xff", true) },
	} {
		d, a := &domain{TPM: tpmtest.New(t)}, area(t)
		m, err := New(d, a)
		if err != nil {
			t.Fatal(err)
		}
		if err := f(m); err == nil || errors.Is(err, ErrTPM) {
			t.Errorf("%s: %v", name, err)
		}
		// What comes after it is measured, and the log agrees.
		if err := all(m); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
		agree(t, d, a, 6)
	}
	d := &domain{TPM: tpmtest.New(t)}
	d.failAt = 1
	m, err := New(d, area(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays so: log and PCRs may differ
		if err := m.PartitionTable(ctx, []byte("gpt")); !errors.Is(err, ErrTPM) || !errors.Is(err, errLost) {
			t.Errorf("the TPM fails: %v", err)
		}
	}
}

// gap returns an EFI program with bytes between its headers and its section, which no
// Authenticode hash covers. A Linux kernel is started from its file: they are part of it.
func gap(fill string) []byte {
	const header, headers, section = 0x40, 512, 1024
	b := make([]byte, section+512)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], header)
	copy(b[header:], "PE\x00\x00\x64\x86\x01")
	le.PutUint16(b[header+20:], 240)
	o := b[header+24:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[60:], headers)
	o[68] = 10 // EFI application
	le.PutUint32(o[108:], 16)
	s := o[240:]
	copy(s, ".text")
	le.PutUint32(s[8:], 512)
	le.PutUint32(s[16:], 512)
	le.PutUint32(s[20:], section)
	copy(b[headers:], fill)
	return b
}

// TestGap: kernels that differ are measured as different, whatever part of the file it
// is in which they do.
func TestGap(t *testing.T) {
	t.Parallel()
	var sums [][]byte
	for _, fill := range []string{"good code", "evil code"} {
		a := area(t)
		m, err := New(&domain{TPM: tpmtest.New(t)}, a)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Kernel(context.Background(), gap(fill), `\vmlinuz`); err != nil {
			t.Fatal(err)
		}
		l, _, err := eventlog.Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, l.Events[len(l.Events)-1].Digests[0].Sum)
	}
	if bytes.Equal(sums[0], sums[1]) {
		t.Error("two kernels, one digest")
	}
}
