package eventlog

import (
	"encoding/binary"
	"fmt"

	"stubtpm/vtpm/tcg"
)

// A reader takes apart hostile bytes. After a first failure, which sticks, all
// that it returns is zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Parse reads a log, which ends with b or where only zeros follow, and returns it
// and its length in bytes. The log refers to b. Parse returns ErrLog if b does not
// begin with a header of version 2, or for an event that is cut off, that does not
// have one digest for each bank of the header, or that extends a PCR above 23. It
// does not compare digests with data: what was hashed is rarely in a log.
func Parse(b []byte) (l *Log, size int, err error) {
	r := reader{rest: b}
	l = &Log{}
	if err := l.readHeader(&r); err != nil {
		return nil, 0, err
	}
	for !zeros(r.rest) {
		e := l.readEvent(&r)
		if r.failed {
			return nil, 0, fmt.Errorf("%w: event %d is cut off", ErrLog, len(l.Events))
		}
		if err := l.check(e); err != nil {
			return nil, 0, fmt.Errorf("event %d: %w", len(l.Events), err)
		}
		l.Events = append(l.Events, e)
	}
	return l, len(b) - len(r.rest), nil
}

// zeros reports whether there is no event in b. One of type 0 with neither digests
// nor data cannot occur, as each has a digest for each bank.
func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func (l *Log) readHeader(r *reader) error {
	pcr, typ := r.uint32(), Type(r.uint32())
	r.bytes(sha1Size)
	id := reader{rest: r.bytes(uint64(r.uint32()))}
	signature := id.bytes(uint64(len(specID)))
	id.bytes(4) // platformClass
	version := id.bytes(4)
	banks := id.uint32()
	if r.failed || id.failed || pcr != 0 || typ != EVNoAction || string(signature) != specID || version[1] != 2 {
		return fmt.Errorf("%w: no header of a crypto-agile log", ErrLog)
	}
	if banks > MaxBanks {
		return fmt.Errorf("%w: %d banks", ErrLog, banks)
	}
	for range banks {
		l.Banks = append(l.Banks, Bank{tcg.TPMAlgID(id.uint16()), int(id.uint16())})
	}
	vendor := id.bytes(1)
	if vendor != nil {
		id.bytes(uint64(vendor[0]))
	}
	if id.failed || len(id.rest) != 0 {
		return fmt.Errorf("%w: the header's size is not that of its contents", ErrLog)
	}
	return checkBanks(l.Banks)
}

func (l *Log) readEvent(r *reader) Event {
	e := Event{PCR: r.uint32(), Type: Type(r.uint32())}
	for n := r.uint32(); n > 0 && !r.failed; n-- {
		alg := tcg.TPMAlgID(r.uint16())
		size := l.digestSize(alg)
		if size == 0 || len(e.Digests) == len(l.Banks) {
			e.Digests = append(e.Digests, Digest{Alg: alg}) // check refuses it
			break
		}
		e.Digests = append(e.Digests, Digest{alg, r.bytes(uint64(size))})
	}
	e.Data = r.bytes(uint64(r.uint32()))
	return e
}
