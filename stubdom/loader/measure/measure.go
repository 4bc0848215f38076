// Package measure extends a guest's TPM with what the loader boots, and appends that to
// the guest's event log. docs/measured-boot.md lists which PCR holds what.
package measure

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"stubtpm/drivers/eventlog"
	"stubtpm/image/uki"
	"stubtpm/vtpm/tcg"
)

// A TPM runs commands.
type TPM interface {
	// Transact sends a command at a locality and returns the response.
	Transact(ctx context.Context, locality uint8, command []byte) ([]byte, error)
}

// ErrTPM is returned if the TPM did not extend a PCR, or did not say so. All other errors
// come from what is to be measured.
var ErrTPM = errors.New("measure: the TPM did not extend")

// ErrEncoding is returned for a command line that is not UTF-8: different ones would have
// the same digest in UTF-16.
var ErrEncoding = errors.New("measure: the command line is not UTF-8")

// PCRs (PFP, section 3.3.4).
const (
	pcrProgram   = 4
	pcrPartition = 5
)

// A Measurer extends one TPM. After ErrTPM log and PCRs may differ, and it returns that
// error only.
type Measurer struct {
	tpm    TPM
	area   []byte
	log    *eventlog.Log
	algs   []tcg.TPMAlgID
	failed error // the ErrTPM
}

// New returns the measurer of a TPM whose log lies in an area of memory.
func New(tpm TPM, area []byte) (*Measurer, error) {
	log, _, err := eventlog.Parse(bytes.Clone(area))
	if err != nil {
		return nil, fmt.Errorf("measure: the event log of this domain: %w", err)
	}
	return &Measurer{tpm: tpm, area: area, log: log, algs: log.Algs()}, nil
}

// PartitionTable measures a GUID partition table as firmware does.
func (m *Measurer) PartitionTable(ctx context.Context, gpt []byte) error {
	return m.data(ctx, pcrPartition, eventlog.EVEFIGPTEvent, gpt, gpt)
}

// Kernel measures a kernel's file: its Authenticode hash if it is an EFI program all of
// which that hash covers, and otherwise all of it.
func (m *Measurer) Kernel(ctx context.Context, file []byte, path string) error {
	if i, err := uki.Open(bytes.NewReader(file), int64(len(file))); err == nil && i.Whole() {
		return m.program(ctx, i, path)
	}
	return m.data(ctx, pcrProgram, eventlog.EVPostCode, file, []byte(path))
}

func (m *Measurer) program(ctx context.Context, i *uki.Image, path string) error {
	e, err := i.Application(m.algs, path)
	if err != nil {
		return err
	}
	return m.Extend(ctx, e)
}

// Unified measures a unified kernel image: the whole program and its sections.
func (m *Measurer) Unified(ctx context.Context, i *uki.Image, path string) error {
	if err := m.program(ctx, i, path); err != nil {
		return err
	}
	events, err := i.Sections(m.algs)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := m.Extend(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// CommandLine measures a command line as Linux's EFI stub does and, if it did not come
// with a unified kernel image, as systemd-stub does. It returns ErrEncoding for one that
// is not UTF-8.
func (m *Measurer) CommandLine(ctx context.Context, line string, external bool) error {
	if !utf8.ValidString(line) {
		return ErrEncoding
	}
	if err := m.Extend(ctx, eventlog.LoadOptions(m.algs, line)); err != nil || !external {
		return err
	}
	return m.Extend(ctx, eventlog.CommandLine(m.algs, line))
}

// Initrd measures the initrd that the kernel gets, as Linux's EFI stub does.
func (m *Measurer) Initrd(ctx context.Context, b []byte) error {
	return m.Extend(ctx, eventlog.Initrd(eventlog.Hash(m.algs, b)))
}

// data extends with the hash of b.
func (m *Measurer) data(ctx context.Context, pcr uint32, t eventlog.Type, b, described []byte) error {
	return m.Extend(ctx, eventlog.Event{PCR: pcr, Type: t, Digests: eventlog.Hash(m.algs, b), Data: described})
}

// Extend extends the TPM and then appends to the log. If the log has no room, the TPM is
// not extended.
func (m *Measurer) Extend(ctx context.Context, e eventlog.Event) error {
	if m.failed != nil {
		return m.failed
	}
	m.log.Events = append(m.log.Events, e)
	b, err := m.log.Encode(len(m.area))
	if err != nil {
		m.log.Events = m.log.Events[:len(m.log.Events)-1]
		return fmt.Errorf("measure: %w", err)
	}
	response, err := m.tpm.Transact(ctx, 0, extendCommand(e))
	if err != nil {
		m.failed = fmt.Errorf("%w: %w", ErrTPM, err)
		return m.failed
	}
	if len(response) < 10 || binary.BigEndian.Uint32(response[6:]) != 0 {
		m.failed = fmt.Errorf("%w: PCR %d: response % x", ErrTPM, e.PCR, response)
		return m.failed
	}
	clear(m.area[copy(m.area, b):])
	return nil
}

// extendCommand is TPM2_PCR_Extend with an empty password (Part 3, 22.2).
func extendCommand(e eventlog.Event) []byte {
	be := binary.BigEndian
	const sessions, code, password = 0x8002, 0x182, 0x40000009
	b := be.AppendUint16(nil, sessions)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, code)
	b = be.AppendUint32(b, e.PCR)
	b = be.AppendUint32(b, 9) // of the authorization: handle, nonce, attributes, password
	b = be.AppendUint32(b, password)
	b = append(b, 0, 0, 0, 0, 0)
	b = be.AppendUint32(b, uint32(len(e.Digests)))
	for _, d := range e.Digests {
		b = append(be.AppendUint16(b, uint16(d.Alg)), d.Sum...)
	}
	be.PutUint32(b[2:], uint32(len(b)))
	return b
}
