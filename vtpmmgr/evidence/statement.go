package evidence

import (
	"encoding/binary"
	"fmt"
)

// Sizes in bytes.
const (
	MinNonce     = 16
	MaxNonce     = 64
	MaxLabel     = 128
	MaxEKs       = 8
	MaxStatement = 1024
	MaxMeasurer  = 64
)

const (
	statementMagic = "stubSTM\x00"

	// Version 2 is that of a statement with a Start, and has it at the end.
	statementVersion = 1
	startVersion     = 2
)

// A Measurer is who measured the image of a vTPM's domain.
type Measurer uint8

const (
	Unmeasured    Measurer = 0
	Host          Measurer = 1 // a message under the host's key
	Administrator Measurer = 2 // a message under the administrator's key
)

// A Guard is how the manager protects its ledger against the restoration of an
// old copy (docs/ledger-format.md). What Statement.Parameter means depends on it.
type Guard uint8

const (
	Strict  Guard = 0 // no commit can be rolled back; parameter 0
	Bounded Guard = 1 // commits of the last so many nanoseconds can
	Budget  Guard = 2 // parameter: writes to the chip per day
)

// Flags of a statement.
const (
	// XSMEnforcing: the hypervisor reported that a security policy is enforced.
	XSMEnforcing uint8 = 1 << iota

	// StartMeasured: the toolstack reported that the guest was created, and it
	// is the only guest that had the TPM since; so its PCRs are those of a start.
	// What it started with is in Start, if that is known.
	StartMeasured

	// Migratable: whoever has the escrow key of its group can restore the vTPM at another host.
	Migratable

	knownFlags = XSMEnforcing | StartMeasured | Migratable
)

// A Start is what was reported of the start of the domain that has the vTPM, if what it
// was to run was measured into the vTPM before it ran.
type Start struct {
	Program  [32]byte // SHA-256 of the kernel or loader as loaded in memory; zeros for no Start
	Reporter Measurer // whose message that is
	Measurer string   // name and version of what measured it; 1 to MaxMeasurer bytes of printable ASCII
}

// Check returns ErrFormat unless all fields are in range.
func (s *Start) Check() error {
	if s.Program == [32]byte{} || s.Reporter != Host && s.Reporter != Administrator ||
		s.Measurer == "" || len(s.Measurer) > MaxMeasurer || !printable(s.Measurer) {
		return fmt.Errorf("%w: start of the guest", ErrFormat)
	}
	return nil
}

// A Statement is what a manager claims about one vTPM at the moment at which it
// was asked. It is signed by the hardware TPM's quote over the tree that
// contains it, and by nothing else.
type Statement struct {
	// Salt keeps those who have the hash of a statement from guessing its
	// contents. It is random.
	Salt [16]byte

	Manager     [16]byte
	UUID        [16]byte // of the vTPM
	Group       uint32
	LedgerEpoch uint32 // counts restorations of the ledger
	Epoch       uint32 // counts restorations of this vTPM
	Time        uint64 // seconds since 1970, by the manager's clock

	Image           [32]byte // SHA-256 of the vTPM's image, or zeros if Unmeasured
	Measurer        Measurer
	Flags           uint8
	SecurityVersion uint32 // of the vTPM's image

	Guard     Guard
	Parameter uint64 // of Guard

	ManagerImage           [32]byte
	ManagerSecurityVersion uint32

	Nonce []byte // the verifier's, MinNonce to MaxNonce bytes

	// AK is the Name of a key that was loaded in the vTPM when it was asked, and
	// that the vTPM found to be a restricted signing key of its own.
	AK []byte

	// EKs are the SHA-256 hashes of the SubjectPublicKeyInfo of the
	// endorsement keys that the manager certified for this vTPM.
	EKs [][32]byte

	Label string // security label of the vTPM's domain, if any; printable ASCII

	// Start is what the guest started with. It is empty if that was not measured, and
	// unless Flags has StartMeasured: PCRs that are not those of a start say nothing of it.
	Start Start
}

// check returns an error unless all fields are in range.
func (s *Statement) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: statement: %s", ErrFormat, what) }
	switch {
	case len(s.Nonce) < MinNonce || len(s.Nonce) > MaxNonce:
		return bad("size of the nonce")
	case !isName(s.AK):
		return bad("Name of the attestation key")
	case len(s.EKs) == 0 || len(s.EKs) > MaxEKs:
		return bad("number of endorsement keys")
	case !printable(s.Label) || len(s.Label) > MaxLabel:
		return bad("label")
	case s.Measurer > Administrator:
		return bad("measurer")
	case (s.Measurer == Unmeasured) != (s.Image == [32]byte{}):
		return bad("an image without measurer, or the reverse")
	case s.Guard > Budget || s.Guard == Strict && s.Parameter != 0:
		return bad("guard")
	case s.Flags&^knownFlags != 0:
		return bad("flags")
	case s.Start != Start{} && (s.Start.Check() != nil || s.Flags&StartMeasured == 0):
		return bad("start of the guest")
	}
	return nil
}

// Marshal returns the wire form.
func (s *Statement) Marshal() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	version := uint16(statementVersion)
	if s.Start != (Start{}) {
		version = startVersion
	}
	b := binary.BigEndian.AppendUint16([]byte(statementMagic), version)
	b = append(b, s.Salt[:]...)
	b = append(b, s.Manager[:]...)
	b = append(b, s.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, s.Group)
	b = binary.BigEndian.AppendUint32(b, s.LedgerEpoch)
	b = binary.BigEndian.AppendUint32(b, s.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.Time)
	b = append(b, s.Image[:]...)
	b = append(b, byte(s.Measurer), s.Flags)
	b = binary.BigEndian.AppendUint32(b, s.SecurityVersion)
	b = append(b, byte(s.Guard))
	b = binary.BigEndian.AppendUint64(b, s.Parameter)
	b = append(b, s.ManagerImage[:]...)
	b = binary.BigEndian.AppendUint32(b, s.ManagerSecurityVersion)
	b = appendSized8(b, s.Nonce)
	b = appendSized8(b, s.AK)
	b = append(b, byte(len(s.EKs)))
	for _, e := range s.EKs {
		b = append(b, e[:]...)
	}
	b = appendSized8(b, []byte(s.Label))
	if version == startVersion {
		b = append(append(b, s.Start.Program[:]...), byte(s.Start.Reporter))
		b = appendSized8(b, []byte(s.Start.Measurer))
	}
	return b, nil
}

// ParseStatement reads the wire form. Every accepted input is what Marshal
// writes of the result.
func ParseStatement(b []byte) (*Statement, error) {
	r := reader{b: b}
	if string(r.take(len(statementMagic))) != statementMagic {
		return nil, fmt.Errorf("%w: not a statement", ErrFormat)
	}
	version := r.u16()
	if version != statementVersion && version != startVersion {
		return nil, fmt.Errorf("%w: statement of version %d", ErrFormat, version)
	}
	s := new(Statement)
	copy(s.Salt[:], r.take(16))
	copy(s.Manager[:], r.take(16))
	copy(s.UUID[:], r.take(16))
	s.Group, s.LedgerEpoch, s.Epoch, s.Time = r.u32(), r.u32(), r.u32(), r.u64()
	copy(s.Image[:], r.take(32))
	s.Measurer, s.Flags, s.SecurityVersion = Measurer(r.u8()), r.u8(), r.u32()
	s.Guard, s.Parameter = Guard(r.u8()), r.u64()
	copy(s.ManagerImage[:], r.take(32))
	s.ManagerSecurityVersion = r.u32()
	s.Nonce, s.AK = r.sized8(), r.sized8()
	n := int(r.u8())
	for i := 0; i < n && !r.bad; i++ {
		s.EKs = append(s.EKs, [32]byte(r.take(32)))
	}
	s.Label = string(r.sized8())
	if version == startVersion {
		s.Start = Start{[32]byte(r.take(32)), Measurer(r.u8()), string(r.sized8())}
		if s.Start == (Start{}) {
			return nil, fmt.Errorf("%w: statement: no start of the guest", ErrFormat)
		}
	}
	if err := r.end("statement"); err != nil {
		return nil, err
	}
	return s, s.check()
}

// isName reports whether b has the form of an object's Name: the identifier of
// a hash algorithm of SHA-2, and a digest of its size (Part 1, "Names").
func isName(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	size := map[uint16]int{0x000B: 32, 0x000C: 48, 0x000D: 64}[binary.BigEndian.Uint16(b)]
	return size != 0 && len(b) == 2+size
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
