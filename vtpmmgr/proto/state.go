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

// commitIdle is the flag of a Commit that needs no checkpoint: only Clock changed, or
// failed authorization attempts expired.
const commitIdle = 1

// ParseCommit decodes the arguments of Commit: a State and optional flags.
func ParseCommit(b []byte) (s State, idle bool, err error) {
	if len(b) == StateSize+1 {
		if b[StateSize] > commitIdle {
			return s, false, errMessage
		}
		idle, b = b[StateSize] == commitIdle, b[:StateSize]
	}
	s, err = ParseState(b)
	return s, idle, err
}
