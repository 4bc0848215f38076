// Package evidence is what a vTPM and its manager show to a verifier: the
// manager's statement about a vTPM, the Merkle tree by which one quote of the
// hardware TPM covers the statements about many of them, the values that tie
// the quotes to them, and the file that holds it all.
//
// docs/evidence-format.md has the bytes, and the argument why the parts of two
// pieces of evidence cannot be joined to a third. The words are those of
// RFC 9334 (RATS). The package encodes and decodes; it checks no signature.
package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrFormat is wrapped by the errors of all parsers of this package.
var ErrFormat = errors.New("evidence: malformed")

// MaxSize is the size in bytes of the largest evidence, event logs included.
const MaxSize = 4 << 20

const (
	magic   = "stubEVD\x00"
	version = 1
)

// An Evidence is what a verifier appraises. The manager makes it without the
// parts of the guest, and the guest adds those. A field that is nil is absent.
type Evidence struct {
	// Chain has DER certificates one after another: that of the manager's
	// certification key first, each followed by that of its issuer. The root
	// may be left out.
	Chain []byte

	EK        []byte // DER certificate of an endorsement key of the vTPM
	Statement []byte // see ParseStatement
	Proof     []byte // see ParseProof: the statement is in the tree
	Hardware  []byte // see ParseQuote: by the hardware TPM

	Guest       []byte // see ParseQuote: by the vTPM
	GuestLog    []byte // event log of the vTPM's PCRs, in TCG's format
	HardwareLog []byte // event log of the hardware TPM's PCRs
	CRLs        []byte // DER certificate revocation lists, one after another
}

// A section is one field of an Evidence, with its number on the wire and the
// largest size in bytes that is taken.
type section struct {
	number uint16
	name   string
	limit  int
	field  func(*Evidence) *[]byte
}

// sections returns all sections in the order of their numbers, which is that
// on the wire.
func sections() []section {
	return []section{
		{1, "chain", 64 << 10, func(e *Evidence) *[]byte { return &e.Chain }},
		{2, "EK certificate", 8 << 10, func(e *Evidence) *[]byte { return &e.EK }},
		{3, "statement", MaxStatement, func(e *Evidence) *[]byte { return &e.Statement }},
		{4, "proof", MaxProof, func(e *Evidence) *[]byte { return &e.Proof }},
		{5, "hardware quote", MaxQuote, func(e *Evidence) *[]byte { return &e.Hardware }},
		{6, "guest quote", MaxQuote, func(e *Evidence) *[]byte { return &e.Guest }},
		{7, "guest log", 1 << 20, func(e *Evidence) *[]byte { return &e.GuestLog }},
		{8, "hardware log", 1 << 20, func(e *Evidence) *[]byte { return &e.HardwareLog }},
		{9, "revocation lists", 1 << 20, func(e *Evidence) *[]byte { return &e.CRLs }},
	}
}

// Marshal returns the wire form. It is an error if a section is empty but not
// nil, or larger than Parse takes.
func (e *Evidence) Marshal() ([]byte, error) {
	b := binary.BigEndian.AppendUint16([]byte(magic), version)
	for _, s := range sections() {
		v := *s.field(e)
		if v == nil {
			continue
		}
		if len(v) == 0 || len(v) > s.limit {
			return nil, fmt.Errorf("%w: %s of %d bytes", ErrFormat, s.name, len(v))
		}
		b = binary.BigEndian.AppendUint16(b, s.number)
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b, nil
}

// Parse reads the wire form. Every accepted input is what Marshal writes of the
// result: sections are in order, none twice, none unknown. The result refers to
// b.
func Parse(b []byte) (*Evidence, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	r := reader{b: b}
	if string(r.take(len(magic))) != magic {
		return nil, fmt.Errorf("%w: not evidence", ErrFormat)
	}
	if v := r.u16(); v != version {
		return nil, fmt.Errorf("%w: version %d", ErrFormat, v)
	}
	e := new(Evidence)
	all := sections()
	for len(r.b) > 0 {
		number, n := r.u16(), int(r.u32())
		for len(all) > 0 && all[0].number != number {
			all = all[1:]
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%w: section %d is unknown or out of order", ErrFormat, number)
		}
		if n == 0 || n > all[0].limit {
			return nil, fmt.Errorf("%w: %s of %d bytes", ErrFormat, all[0].name, n)
		}
		v := r.take(n)
		if r.bad {
			break
		}
		*all[0].field(e) = v
		all = all[1:]
	}
	return e, r.end("evidence")
}
