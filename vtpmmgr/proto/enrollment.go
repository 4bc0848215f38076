package proto

import "encoding/binary"

// An Enrollment makes a vTPM known to the manager. The vTPM may then be manufactured.
type Enrollment struct {
	UUID    UUID
	Group   uint32
	Replace bool     // the new TPM may overwrite another TPM's state, as on a cloned disk
	Image   [32]byte // SHA-256 of the program that the domain must run; zeros for any
	Name    string   // Printable, up to MaxName bytes

	// Attested, if set, gives a guest the PCRs of a start only if the host
	// reported its creation (order Created). Otherwise every domain that was not
	// connected before gets them, also one that was saved and restored.
	Attested bool

	// Measured, if set, has only those domains get the TPM whose start the host measured
	// (Client.CreatedMeasured). It requires Attested.
	Measured bool

	// Programs are the SHA-256 values of the programs that may be started then, up to
	// MaxPrograms, none twice and none zeros; empty for any. They require Measured.
	Programs [][HashSize]byte

	// Profile is the stored form of the TPM's profile (package tcg), which
	// counts at its manufacture. Empty selects the default; in Amend it leaves
	// the profile unchanged.
	Profile string
}

// MaxName is the size in bytes of the longest name or label.
const MaxName = 64

// MaxProfile is the size in bytes of the longest stored form of a profile.
const MaxProfile = 128

// MaxPrograms is the largest number of programs in an Enrollment.
const MaxPrograms = 12

// Append appends the encoding.
func (e *Enrollment) Append(b []byte) []byte {
	b = append(b, e.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, e.Group)
	b = append(b, flagBits(e.Replace, e.Attested, e.Measured))
	b = append(b, e.Image[:]...)
	b = appendText(appendText(b, e.Name), e.Profile)
	if e.Measured {
		b = appendPrograms(b, e.Programs)
	}
	return b
}

// ParseEnrollment decodes an Enrollment.
func ParseEnrollment(b []byte) (e Enrollment, err error) {
	r := reader{b: b}
	e.UUID = UUID(r.take(16))
	e.Group = r.u32()
	flags := r.u8()
	e.Replace, e.Attested, e.Measured = flags&1 != 0, flags&2 != 0, flags&4 != 0
	e.Image = [32]byte(r.take(32))
	e.Name, e.Profile = r.text(), r.text()
	if e.Measured {
		e.Programs = r.programs()
	}
	if flags > 7 || e.Measured && !e.Attested || len(e.Name) > MaxName || !Printable(e.Name) || len(e.Profile) > MaxProfile {
		return e, errMessage
	}
	return e, r.done()
}

// An Entry describes one vTPM in a List, without its key.
type Entry struct {
	UUID      UUID
	Group     uint32
	Epoch     uint32
	Sequence  uint64
	Floors    Floors
	State     bool // it was manufactured
	Connected bool
	Suspended bool
	Replace   bool
	Damaged   bool // its record cannot be read
	Attested  bool
	Measured  bool // see Enrollment; Client.Starts has the programs
	Moving    bool // it is not live at this manager; Client.Transfers has more
	Image     [32]byte
	Name      string
}

// Append appends the encoding.
func (e *Entry) Append(b []byte) []byte {
	b = append(b, e.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, e.Group)
	b = binary.BigEndian.AppendUint32(b, e.Epoch)
	b = binary.BigEndian.AppendUint64(b, e.Sequence)
	b = e.Floors.Append(b)
	b = append(b, flagBits(e.State, e.Connected, e.Suspended, e.Replace, e.Damaged, e.Attested, e.Measured, e.Moving))
	b = append(b, e.Image[:]...)
	return appendText(b, e.Name)
}

func (r *reader) entry() (e Entry) {
	e.UUID = UUID(r.take(16))
	e.Group, e.Epoch, e.Sequence, e.Floors = r.u32(), r.u32(), r.u64(), r.floors()
	flags := r.u8()
	e.State, e.Connected, e.Suspended = flags&1 != 0, flags&2 != 0, flags&4 != 0
	e.Replace, e.Damaged, e.Attested, e.Measured, e.Moving = flags&8 != 0, flags&16 != 0, flags&32 != 0, flags&64 != 0, flags&128 != 0
	e.Image = [32]byte(r.take(32))
	e.Name = r.text()
	return e
}
