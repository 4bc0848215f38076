//go:build tamago

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"stubtpm/board/cpu"
	"stubtpm/board/pvh"
	board "stubtpm/board/xen"
	"stubtpm/drivers/crb"
	"stubtpm/drivers/eventlog"
	"stubtpm/drivers/tpmhw"
	"stubtpm/stubdom/loader/acpi"
	"stubtpm/stubdom/loader/measure"
)

// physical reads what the toolstack has put below 4 GiB and outside of memory: ACPI's
// tables.
type physical struct{}

const (
	lowest   = 0xf0000000
	highest  = 1 << 32
	pageSize = 4096
)

func (physical) ReadAt(b []byte, off int64) (int, error) {
	if off < lowest || off > highest-int64(len(b)) {
		return 0, io.EOF
	}
	first := off &^ (pageSize - 1)
	pages := (off + int64(len(b)) - first + pageSize - 1) / pageSize
	m, err := board.MapMemory(uint64(first), int(pages))
	if err != nil {
		return 0, err
	}
	return copy(b, m[off-first:]), nil
}

// hasTPM reports whether the domain has a TPM that serves a control area in its memory.
func hasTPM() (bool, error) {
	rsdp := pvh.Start().RSDP
	if rsdp == 0 {
		return false, nil
	}
	b, err := acpi.Table(physical{}, rsdp, "TPM2")
	if b == nil || err != nil {
		return false, err
	}
	t, err := tpmhw.ParseTable(b)
	return err == nil && t.Control == crb.ControlFrame*pageSize && t.Start == tpmhw.StartACPI, err
}

// commandTime is how long a command of the TPM may take.
const commandTime = 30 * time.Second

// A tpm is this domain's TPM.
type tpm struct{ client crb.Client }

func (t *tpm) Transact(ctx context.Context, locality uint8, command []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	return t.client.Transact(ctx, locality, command)
}

// openTPM returns what measures with the domain's TPM.
func openTPM() (*measure.Measurer, error) {
	pages, err := board.MapShared(crb.ControlFrame*pageSize, 1+crb.BufferPages)
	if err != nil {
		return nil, err
	}
	area, err := board.MapMemory(crb.LogFrame*pageSize, eventlog.AreaSize/pageSize)
	if err != nil {
		return nil, err
	}
	t := &tpm{crb.Client{
		Control: pages[0], Buffer: pages[1:],
		Ring: func() error { cpu.Out32(crb.DoorbellPort, 1); return nil },
		Wait: wait,
	}}
	return measure.New(t, area)
}

// wait waits a little for the TPM.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("the TPM does not respond: %w", ctx.Err())
	case <-time.After(time.Millisecond):
		return nil
	}
}
