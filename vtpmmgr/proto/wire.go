package proto

import (
	"encoding/binary"
	mathbits "math/bits"
)

// A reader takes fields off a message; after the first that is not there all
// are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// text reads a string with its length of 1 before it.
func (r *reader) text() string {
	n := int(r.u8())
	if n > len(r.b) {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// end returns an error unless all was there and nothing is left.
func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return errMessage
	}
	return nil
}

func appendText(b []byte, s string) []byte {
	if len(s) > 255 {
		s = s[:255]
	}
	return append(append(b, byte(len(s))), s...)
}

// Floors are what a restored vTPM must not fall below; see package vtpm.
type Floors struct {
	Clock       uint64
	ResetCount  uint32
	FailedTries uint32
}

// FloorsSize is the size in bytes of Floors.
const FloorsSize = 16

// Append appends the wire form.
func (f Floors) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, f.Clock)
	b = binary.BigEndian.AppendUint32(b, f.ResetCount)
	return binary.BigEndian.AppendUint32(b, f.FailedTries)
}

func (r *reader) floors() Floors {
	return Floors{Clock: r.u64(), ResetCount: r.u32(), FailedTries: r.u32()}
}

// ParseFloors reads Floors.
func ParseFloors(b []byte) (Floors, error) {
	r := reader{b: b}
	f := r.floors()
	return f, r.end()
}

// A State is what a vTPM saved: from its commit on the only one.
type State struct {
	Sequence uint64
	Hash     [HashSize]byte // of the image
	Key      [KeySize]byte  // that opens it
	Floors   Floors
}

// StateSize is the size in bytes of a State.
const StateSize = 8 + HashSize + KeySize + FloorsSize

// Append appends the wire form.
func (s *State) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.Sequence)
	b = append(b, s.Hash[:]...)
	b = append(b, s.Key[:]...)
	return s.Floors.Append(b)
}

func (r *reader) state() State {
	return State{Sequence: r.u64(), Hash: [HashSize]byte(r.take(HashSize)), Key: [KeySize]byte(r.take(KeySize)), Floors: r.floors()}
}

// ParseState reads a State.
func ParseState(b []byte) (State, error) {
	r := reader{b: b}
	s := r.state()
	return s, r.end()
}

// commitIdle is the flag of a COMMIT that is of no urgency: what changed is
// Clock, or failures of authorization that were forgiven.
const commitIdle = 1

// ParseCommit reads the body of a COMMIT: a State, and flags or none.
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

// A Grant is what the manager gives a vTPM at its start.
type Grant struct {
	// Manufacture says that the vTPM was enrolled and has no state yet: it is
	// to make a new TPM. Otherwise State is its own.
	Manufacture bool

	// Replace says that the new TPM may be written over another's image.
	Replace bool

	UUID  UUID   // of this vTPM: its image carries it
	Epoch uint32 // one more after each restore of a backup of this vTPM

	// Ledger is the epoch of the manager's ledger: another after each restore
	// of an old copy of it.
	Ledger uint32

	State   State
	Entropy [SeedSize]byte // from the hardware TPM

	// Firmware and SVN are the secrets of the vTPM's limited hierarchies: of
	// the image that its domain was measured with, and of security version 0.
	// Zeros if the domain was not measured.
	Firmware, SVN [KeySize]byte

	// Attested is that of the Enrollment.
	Attested bool

	// Profile is the stored form of what a TPM that is manufactured now offers
	// (package tcg), up to MaxProfile bytes; empty for the vTPM's default.
	Profile string
}

// Append appends the wire form of g.
func (g *Grant) Append(b []byte) []byte {
	b = append(b, bits(g.Manufacture, g.Replace, g.Attested))
	b = append(b, g.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, g.Epoch)
	b = binary.BigEndian.AppendUint32(b, g.Ledger)
	b = g.State.Append(b)
	b = append(b, g.Entropy[:]...)
	b = append(b, g.Firmware[:]...)
	b = append(b, g.SVN[:]...)
	return appendText(b, g.Profile)
}

func parseGrant(b []byte) (g Grant, err error) {
	r := reader{b: b}
	flags := r.u8()
	g.Manufacture, g.Replace, g.Attested = flags&1 != 0, flags&2 != 0, flags&4 != 0
	g.UUID = UUID(r.take(16))
	g.Epoch, g.Ledger = r.u32(), r.u32()
	g.State = r.state()
	g.Entropy = [SeedSize]byte(r.take(SeedSize))
	g.Firmware, g.SVN = [KeySize]byte(r.take(KeySize)), [KeySize]byte(r.take(KeySize))
	g.Profile = r.text()
	if flags > 7 || len(g.Profile) > MaxProfile {
		return g, errMessage
	}
	return g, r.end()
}

func bits(all ...bool) (v byte) {
	for i, b := range all {
		if b {
			v |= 1 << i
		}
	}
	return v
}

// An Enrollment makes the manager know a vTPM, which may then be manufactured.
type Enrollment struct {
	UUID    UUID
	Group   uint32
	Replace bool     // the new TPM may be written over another's image: a cloned disk
	Image   [32]byte // SHA-256 that the vTPM's domain has to be measured with; zeros for any
	Name    string   // up to MaxName bytes

	// Attested says that a guest finds the PCRs of a start only if the host told
	// that it was created (Created). Without it, any domain that was not there
	// before does: also one that was saved and is restored.
	Attested bool

	// Profile is the stored form of what the TPM offers (package tcg), chosen
	// at its manufacture; empty for the vTPM's default, and to leave it as it
	// is with Amend.
	Profile string
}

// MaxName is the size in bytes of the longest name or label.
const MaxName = 64

// MaxProfile is the size in bytes of the longest stored form of a profile.
const MaxProfile = 128

// Append appends the wire form.
func (e *Enrollment) Append(b []byte) []byte {
	b = append(b, e.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, e.Group)
	b = append(b, bits(e.Replace, e.Attested))
	b = append(b, e.Image[:]...)
	return appendText(appendText(b, e.Name), e.Profile)
}

// ParseEnrollment reads an Enrollment.
func ParseEnrollment(b []byte) (e Enrollment, err error) {
	r := reader{b: b}
	e.UUID = UUID(r.take(16))
	e.Group = r.u32()
	flags := r.u8()
	e.Replace, e.Attested = flags&1 != 0, flags&2 != 0
	e.Image = [32]byte(r.take(32))
	e.Name, e.Profile = r.text(), r.text()
	if flags > 3 || len(e.Name) > MaxName || len(e.Profile) > MaxProfile {
		return e, errMessage
	}
	return e, r.end()
}

// An Entry is one vTPM as an administrator sees it, without its key.
type Entry struct {
	UUID      UUID
	Group     uint32
	Epoch     uint32
	Sequence  uint64
	Floors    Floors
	State     bool // there is a state: it was manufactured
	Connected bool
	Suspended bool
	Replace   bool
	Damaged   bool // its record cannot be read
	Attested  bool
	Image     [32]byte
	Name      string
}

// Append appends the wire form of e.
func (e *Entry) Append(b []byte) []byte {
	b = append(b, e.UUID[:]...)
	b = binary.BigEndian.AppendUint32(b, e.Group)
	b = binary.BigEndian.AppendUint32(b, e.Epoch)
	b = binary.BigEndian.AppendUint64(b, e.Sequence)
	b = e.Floors.Append(b)
	b = append(b, bits(e.State, e.Connected, e.Suspended, e.Replace, e.Damaged, e.Attested))
	b = append(b, e.Image[:]...)
	return appendText(b, e.Name)
}

func (r *reader) entry() (e Entry) {
	e.UUID = UUID(r.take(16))
	e.Group, e.Epoch, e.Sequence, e.Floors = r.u32(), r.u32(), r.u64(), r.floors()
	flags := r.u8()
	e.State, e.Connected, e.Suspended = flags&1 != 0, flags&2 != 0, flags&4 != 0
	e.Replace, e.Damaged, e.Attested = flags&8 != 0, flags&16 != 0, flags&32 != 0
	e.Image = [32]byte(r.take(32))
	e.Name = r.text()
	return e
}

// A Group is a tenant: its vTPMs' keys are wrapped with a key of its own.
type Group struct {
	ID       uint32   // 0 is there from the beginning
	Name     string   // up to MaxName bytes
	Approver [32]byte // Ed25519 key for orders about its vTPMs; zeros for the administrator's
	Escrow   []byte   // HPKE public key (X25519, 32 bytes) that its key is sealed to; empty for none
	Labels   string   // security labels of its vTPMs' domains, with commas between; empty for any
	Quota    uint32   // how many vTPMs it may have, set by the administrator; zero for any number
}

// Append appends the wire form.
func (g *Group) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, g.ID)
	b = appendText(b, g.Name)
	b = append(b, g.Approver[:]...)
	b = appendText(b, string(g.Escrow))
	b = appendText(b, g.Labels)
	return binary.BigEndian.AppendUint32(b, g.Quota)
}

func (r *reader) group() (g Group) {
	g.ID = r.u32()
	g.Name = r.text()
	g.Approver = [32]byte(r.take(32))
	if s := r.text(); s != "" {
		g.Escrow = []byte(s)
	}
	g.Labels = r.text()
	g.Quota = r.u32()
	if len(g.Name) > MaxName || len(g.Labels) > 2*MaxName || len(g.Escrow) != 0 && len(g.Escrow) != 32 {
		r.bad = true
	}
	return g
}

// ParseGroup reads a Group; what follows it is returned too.
func ParseGroup(b []byte) (g Group, rest []byte, err error) {
	r := reader{b: b}
	g = r.group()
	if r.bad {
		return g, nil, errMessage
	}
	return g, r.b, nil
}

// A Greeting is what a manager says of itself. Its nonce is of this connection.
type Greeting struct {
	Version  uint16
	Manager  [16]byte
	Nonce    [32]byte
	Recovery [32]byte // HPKE public key (X25519) for a group's key from escrow
	Audit    [32]byte // Ed25519 key that signs the audit log
	Admin    [32]byte // Ed25519 key of the administrator
	Counter  uint64   // of the hardware TPM: starts and restores
}

// Append appends the wire form.
func (g *Greeting) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, g.Version)
	b = append(b, g.Manager[:]...)
	b = append(b, g.Nonce[:]...)
	b = append(b, g.Recovery[:]...)
	b = append(b, g.Audit[:]...)
	b = append(b, g.Admin[:]...)
	return binary.BigEndian.AppendUint64(b, g.Counter)
}

func parseGreeting(b []byte) (g Greeting, err error) {
	r := reader{b: b}
	g.Version = r.u16()
	g.Manager = [16]byte(r.take(16))
	g.Nonce = [32]byte(r.take(32))
	g.Recovery = [32]byte(r.take(32))
	g.Audit = [32]byte(r.take(32))
	g.Admin = [32]byte(r.take(32))
	g.Counter = r.u64()
	return g, r.end()
}

// Signed returns what is signed of an order: the manager, the connection, how
// many orders went before on it, the order and its arguments.
func Signed(manager [16]byte, nonce [32]byte, count uint64, o Ordinal, args []byte) []byte {
	b := []byte("stubtpm order\x00")
	b = append(b, manager[:]...)
	b = append(b, nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = binary.BigEndian.AppendUint32(b, uint32(o))
	return append(b, args...)
}

// SignedRestore returns what is signed to have a manager take an old copy of
// its whole disk: which manager, and at which value of its hardware counter, so
// that it counts once.
func SignedRestore(manager [16]byte, counter uint64) []byte {
	b := append([]byte("stubtpm restore\x00"), manager[:]...)
	return binary.BigEndian.AppendUint64(b, counter)
}

// A KeyRole says what a key of the manager's is for.
type KeyRole uint8

// Roles of keys that SetKey changes.
const (
	AdminKey KeyRole = 1 // signs orders
	HostKey  KeyRole = 2 // signs what dom0 tells of domains
)

// A NewKey replaces one of the manager's keys. The order is signed by the
// administrator's present key; Proof, by the new one, of SignedProof.
type NewKey struct {
	Role  KeyRole
	Key   [32]byte // Ed25519
	Proof [64]byte
}

// SignedProof returns what the holder of a new key signs, so that a manager is
// never given one that nobody has.
func SignedProof(manager [16]byte, role KeyRole, key [32]byte) []byte {
	b := append([]byte("stubtpm new key\x00"), manager[:]...)
	return append(append(b, byte(role)), key[:]...)
}

// Append appends the wire form.
func (k *NewKey) Append(b []byte) []byte {
	b = append(append(b, byte(k.Role)), k.Key[:]...)
	return append(b, k.Proof[:]...)
}

// ParseNewKey reads a NewKey.
func ParseNewKey(b []byte) (k NewKey, err error) {
	r := reader{b: b}
	k.Role = KeyRole(r.u8())
	k.Key, k.Proof = [32]byte(r.take(32)), [64]byte(r.take(64))
	if k.Role != AdminKey && k.Role != HostKey {
		return k, errMessage
	}
	return k, r.end()
}

// A Recovery replaces the administrator's key by the word of the operator, for
// when it was lost or became known. The order is signed by the new key;
// Signature, by the operator's (ECDSA P-256 with SHA-256, r and s), of
// SignedRecovery.
type Recovery struct {
	Key       [32]byte // Ed25519
	Signature [64]byte
}

// SignedRecovery returns what the operator signs: of which manager, and which
// key is replaced by which, so that it counts for this change only.
func SignedRecovery(manager [16]byte, old, key [32]byte) []byte {
	b := append([]byte("stubtpm recover administrator\x00"), manager[:]...)
	return append(append(b, old[:]...), key[:]...)
}

// Append appends the wire form.
func (r *Recovery) Append(b []byte) []byte { return append(append(b, r.Key[:]...), r.Signature[:]...) }

// ParseRecovery reads a Recovery.
func ParseRecovery(b []byte) (v Recovery, err error) {
	r := reader{b: b}
	v.Key, v.Signature = [32]byte(r.take(32)), [64]byte(r.take(64))
	return v, r.end()
}

// SignedMove returns what is signed to have a manager move to new NV indices: which
// manager, and the challenge that its refusal names.
func SignedMove(manager [16]byte, challenge [32]byte) []byte {
	b := append([]byte("stubtpm move\x00"), manager[:]...)
	return append(b, challenge[:]...)
}

// An Approval is the operator's word that other PCRs are good too; see
// hwtpm.Approval.
type Approval struct {
	Mask      uint32
	Policy    [32]byte
	Signature [64]byte
	Values    []byte // of the PCRs, 32 bytes each, in the order of their numbers
}

// Append appends the wire form.
func (a *Approval) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, a.Mask)
	b = append(b, a.Policy[:]...)
	b = append(b, a.Signature[:]...)
	return append(b, a.Values...)
}

// ParseApproval reads an Approval.
func ParseApproval(b []byte) (a Approval, err error) {
	r := reader{b: b}
	a.Mask = r.u32()
	a.Policy = [32]byte(r.take(32))
	a.Signature = [64]byte(r.take(64))
	a.Values = append([]byte(nil), r.take(32*mathbits.OnesCount32(a.Mask))...)
	return a, r.end()
}
