package proto

import "encoding/binary"

// Floors are lower bounds for a restored vTPM; see package vtpm.
type Floors struct {
	Clock       uint64
	ResetCount  uint32
	FailedTries uint32
}

// FloorsSize is the size in bytes of Floors.
const FloorsSize = 16

// Append appends the encoding.
func (f Floors) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, f.Clock)
	b = binary.BigEndian.AppendUint32(b, f.ResetCount)
	return binary.BigEndian.AppendUint32(b, f.FailedTries)
}

func (r *reader) floors() Floors {
	return Floors{Clock: r.u64(), ResetCount: r.u32(), FailedTries: r.u32()}
}

// ParseFloors decodes Floors.
func ParseFloors(b []byte) (Floors, error) {
	r := reader{b: b}
	f := r.floors()
	return f, r.done()
}

// A State is a saved state of a vTPM. From its commit on it is the only valid one.
type State struct {
	Sequence uint64
	Hash     [HashSize]byte // of the sealed state on the disk
	Key      [KeySize]byte  // that opens it
	Floors   Floors
}

// StateSize is the size in bytes of a State.
const StateSize = 8 + HashSize + KeySize + FloorsSize

// Append appends the encoding.
func (s *State) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.Sequence)
	b = append(b, s.Hash[:]...)
	b = append(b, s.Key[:]...)
	return s.Floors.Append(b)
}

func (r *reader) state() State {
	return State{Sequence: r.u64(), Hash: [HashSize]byte(r.take(HashSize)), Key: [KeySize]byte(r.take(KeySize)), Floors: r.floors()}
}

// ParseState decodes a State.
func ParseState(b []byte) (State, error) {
	r := reader{b: b}
	s := r.state()
	return s, r.done()
}

// An Urgency says how much a Commit is worth a checkpoint.
type Urgency uint8

// Ordinary is a Commit as most are. Idle is one that needs no checkpoint: only Clock changed,
// or failed authorization attempts expired. Urgent is one that nobody may take back: of the
// state that takes the place of a suspended one, or of a suspended one. Frozen is Urgent, and
// says besides that no command runs before another Commit.
const (
	Ordinary Urgency = 0
	Idle     Urgency = 1
	Urgent   Urgency = 2
	Frozen   Urgency = 3
)

// ParseCommit decodes the arguments of Commit: a State and, unless it is Ordinary, its
// Urgency.
func ParseCommit(b []byte) (s State, u Urgency, err error) {
	if len(b) == StateSize+1 {
		u, b = Urgency(b[StateSize]), b[:StateSize]
		if u > Frozen {
			return s, Ordinary, errMessage
		}
	}
	s, err = ParseState(b)
	return s, u, err
}
