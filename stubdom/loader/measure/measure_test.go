package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var banks = []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA384}

// A domain's TPM, and what fails.
type domain struct {
	*tpmtest.TPM
	commands int
	failAt   int // the command that fails, from 1 on
}

var errLost = errors.New("lost")

func (d *domain) Transact(_ context.Context, _ uint8, command []byte) ([]byte, error) {
	if d.commands++; d.commands == d.failAt {
		return nil, errLost
	}
	return d.Send(command)
}

// area returns an event log as the host leaves it.
func area(t *testing.T) []byte {
	t.Helper()
	l, err := eventlog.New(banks...)
	if err != nil {
		t.Fatal(err)
	}
	l.Events = append(l.Events, eventlog.StartupLocality(banks, 0))
	b, err := l.Encode(eventlog.AreaSize)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, eventlog.AreaSize-len(b))...)
}

// all measures everything that there is.
func all(m *Measurer) error {
	ctx := context.Background()
	return errors.Join(m.PartitionTable(ctx, []byte("gpt")), m.Kernel(ctx, []byte("no PE"), `\vmlinuz`),
		m.CommandLine(ctx, "root=/dev/xvda ü", true), m.CommandLine(ctx, "embedded", false), m.Initrd(ctx, []byte("initrd")))
}

// TestLog: the log says what the TPM's PCRs are.
func TestLog(t *testing.T) {
	t.Parallel()
	d, a := &domain{TPM: tpmtest.New(t)}, area(t)
	m, err := New(d, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := all(m); err != nil {
		t.Fatal(err)
	}
	agree(t, d, a, 6)
}

// agree fails the test unless replaying the log of n events gives the PCRs.
func agree(t *testing.T, d *domain, area []byte, n int) {
	t.Helper()
	l, size, err := eventlog.Parse(area)
	if err != nil || !bytes.Equal(area[size:], make([]byte, len(area)-size)) {
		t.Fatal(size, err)
	}
	if len(l.Events) != n+1 {
		t.Errorf("%d events, want %d", len(l.Events)-1, n)
	}
	for _, bank := range banks {
		want, err := l.Replay(bank)
		if err != nil {
			t.Fatal(err)
		}
		for pcr := range uint32(16) {
			got := read(d, bank, pcr)
			if w := want[pcr]; w == nil && !bytes.Equal(got, make([]byte, len(got))) || w != nil && !bytes.Equal(got, w) {
				t.Errorf("bank %v, PCR %d: % x, the log says % x", bank, pcr, got, w)
			}
		}
	}
}

// read reads a PCR.
func read(d *domain, bank tcg.TPMAlgID, pcr uint32) []byte {
	command := []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, byte(bank >> 8), byte(bank), 3, 0, 0, 0}
	command[17+pcr/8] |= 1 << (pcr % 8)
	r, err := d.Send(command)
	if err != nil || len(r) < 30 {
		panic(fmt.Sprint(r, err))
	}
	return r[30:]
}

// TestFails: at whichever command the TPM fails, the log has no event that the TPM was not
// extended with.
func TestFails(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 6; at++ {
		d, a := &domain{TPM: tpmtest.New(t), failAt: at}, area(t)
		m, err := New(d, a)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for _, f := range []func() error{
			func() error { return m.PartitionTable(ctx, []byte("gpt")) },
			func() error { return m.Kernel(ctx, []byte("x"), "x") },
			func() error { return m.CommandLine(ctx, "y", true) },
			func() error { return m.CommandLine(ctx, "z", false) },
			func() error { return m.Initrd(ctx, []byte("i")) },
		} {
			if err = f(); err != nil {
				break
			}
		}
		if !errors.Is(err, errLost) {
			t.Errorf("command %d: %v", at, err)
		}
		agree(t, d, a, at-1)
	}
}

// TestFull: when the log has no room the TPM is not extended.
func TestFull(t *testing.T) {
	t.Parallel()
	d, a := &domain{TPM: tpmtest.New(t)}, area(t)
	m, err := New(d, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.PartitionTable(context.Background(), make([]byte, eventlog.AreaSize)); !errors.Is(err, eventlog.ErrFull) {
		t.Error(err)
	}
	agree(t, d, a, 0)
	if _, err := New(d, make([]byte, 100)); !errors.Is(err, eventlog.ErrLog) {
		t.Error(err)
	}
}
