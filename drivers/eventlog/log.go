package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// PCRs is the number of PCRs that an event can extend.
const PCRs = 24

// MaxBanks is the largest number of banks that a log may have (HASH_COUNT in the
// structures of Part 2).
const MaxBanks = 16

// AreaSize is the size in bytes of the area that holds a log in a guest's memory;
// the rest of it is zero. It is the least that PFP asks for, 64 KiB.
const AreaSize = 64 << 10

var (
	// ErrLog is returned for bytes that are no log, and for a log whose events
	// contradict each other.
	ErrLog = errors.New("eventlog: invalid log")
	// ErrFull is returned if a log does not fit into its area.
	ErrFull = errors.New("eventlog: log does not fit into its area")
)

// A Digest is what an event extended into one bank.
type Digest struct {
	Alg tcg.TPMAlgID
	Sum []byte // of the size that the log's header lists for Alg
}

// An Event is a TCG_PCR_EVENT2: one extension of a PCR in all banks, or a remark
// (EVNoAction).
type Event struct {
	PCR     uint32
	Type    Type
	Digests []Digest // one for each bank of the log
	Data    []byte   // describes what was measured; not always what was hashed
}

// A Bank is a hash algorithm that a log's header lists, with the size in bytes of
// its digests.
type Bank struct {
	Alg  tcg.TPMAlgID
	Size int
}

// A Log is an event log. The first event, the header, is not among its events:
// it is made from Banks.
type Log struct {
	Banks  []Bank
	Events []Event
}

// New returns an empty log for the given banks. It returns ErrLog for an
// algorithm that is not a hash algorithm of package tpmcrypto, one that is there
// twice, and none or more than MaxBanks.
func New(banks ...tcg.TPMAlgID) (*Log, error) {
	l := &Log{}
	for _, a := range banks {
		if !tpmcrypto.HasHash(a) {
			return nil, fmt.Errorf("%w: %#04x is not a supported hash algorithm", ErrLog, uint16(a))
		}
		l.Banks = append(l.Banks, Bank{a, a.DigestSize()})
	}
	return l, checkBanks(l.Banks)
}

func checkBanks(banks []Bank) error {
	if len(banks) == 0 || len(banks) > MaxBanks {
		return fmt.Errorf("%w: %d banks", ErrLog, len(banks))
	}
	for i, b := range banks {
		if n := b.Alg.DigestSize(); n != 0 && b.Size != n || b.Size == 0 || b.Size > tpmcrypto.MaxDigest {
			return fmt.Errorf("%w: digests of algorithm %#04x cannot have %d bytes", ErrLog, uint16(b.Alg), b.Size)
		}
		if slices.ContainsFunc(banks[:i], func(o Bank) bool { return o.Alg == b.Alg }) {
			return fmt.Errorf("%w: bank %#04x is listed twice", ErrLog, uint16(b.Alg))
		}
	}
	return nil
}

// Algs returns the hash algorithms of the log's banks in the order of its header.
func (l *Log) Algs() []tcg.TPMAlgID {
	var algs []tcg.TPMAlgID
	for _, b := range l.Banks {
		algs = append(algs, b.Alg)
	}
	return algs
}

// The header is a TCG_PCClientPCREvent whose data is a TCG_EfiSpecIdEvent (PFP,
// 10.4.5.1, "Specification ID Version Event").
const (
	specID     = "Spec ID Event03\x00"
	sha1Size   = 20
	headerSize = 4 + 4 + sha1Size + 4 // before the data
	idSize     = len(specID) + 4 + 4 + 4
)

// Encode returns the log as it lies in memory. It returns ErrFull if that is more
// than size bytes, and ErrLog for events that do not have one digest for each
// bank. The caller pads the area with zeros.
func (l *Log) Encode(size int) ([]byte, error) {
	if err := checkBanks(l.Banks); err != nil {
		return nil, err
	}
	b := l.header()
	for i, e := range l.Events {
		if err := l.check(e); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		b = e.append(b)
	}
	if len(b) > size {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrFull, len(b), size)
	}
	return b, nil
}

func (l *Log) header() []byte {
	le := binary.LittleEndian
	b := make([]byte, 8+sha1Size, AreaSize)
	le.PutUint32(b[4:], uint32(EVNoAction))
	b = le.AppendUint32(b, uint32(idSize+4*len(l.Banks)+1))
	b = append(b, specID...)
	b = append(b, 0, 0, 0, 0) // platformClass: client
	b = append(b, 0, 2, 0, 2) // version 2.0 errata 0, and UINTN has 64 bits
	b = le.AppendUint32(b, uint32(len(l.Banks)))
	for _, k := range l.Banks {
		b = le.AppendUint16(b, uint16(k.Alg))
		b = le.AppendUint16(b, uint16(k.Size))
	}
	return append(b, 0) // vendorInfoSize
}

func (e Event) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, e.PCR)
	b = le.AppendUint32(b, uint32(e.Type))
	b = le.AppendUint32(b, uint32(len(e.Digests)))
	for _, d := range e.Digests {
		b = le.AppendUint16(b, uint16(d.Alg))
		b = append(b, d.Sum...)
	}
	b = le.AppendUint32(b, uint32(len(e.Data)))
	return append(b, e.Data...)
}

// check returns ErrLog for an event that the log cannot hold: it must have one
// digest for each bank, and extend a PCR that exists.
func (l *Log) check(e Event) error {
	if e.PCR >= PCRs && e.Type != EVNoAction {
		return fmt.Errorf("%w: PCR %d", ErrLog, e.PCR)
	}
	if len(e.Digests) != len(l.Banks) {
		return fmt.Errorf("%w: %d digests for %d banks", ErrLog, len(e.Digests), len(l.Banks))
	}
	for i, d := range e.Digests {
		if n := l.digestSize(d.Alg); n == 0 || n != len(d.Sum) {
			return fmt.Errorf("%w: digest of algorithm %#04x with %d bytes", ErrLog, uint16(d.Alg), len(d.Sum))
		}
		if slices.ContainsFunc(e.Digests[:i], func(o Digest) bool { return o.Alg == d.Alg }) {
			return fmt.Errorf("%w: two digests for bank %#04x", ErrLog, uint16(d.Alg))
		}
	}
	return nil
}

// digestSize returns the size in bytes of a bank's digests, 0 if the log does not
// have the bank.
func (l *Log) digestSize(alg tcg.TPMAlgID) int {
	for _, b := range l.Banks {
		if b.Alg == alg {
			return b.Size
		}
	}
	return 0
}
