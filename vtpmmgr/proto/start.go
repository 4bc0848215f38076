package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Start is what the manager knows of the start of a domain that connects to a vTPM.
type Start struct {
	// Created reports whether the domain was just created, so that it may get the PCRs of
	// a machine that was switched on. Any other domain may have run before, with another
	// vTPM or before it was saved.
	Created bool

	// Measured reports whether the host, besides, reported what the domain is to run, and
	// so measures that before the domain runs.
	Measured bool

	// Restored reports whether the host reported that the domain was restored, from an
	// image that has Token. It is never true with Created.
	Restored bool
	Token    [TokenSize]byte // zeros unless Restored
	// MustFit reports, of a domain that was Restored, whether the vTPM's record lets it have
	// the TPM only if the image belongs to what is in the TPM.
	MustFit bool
}

// TokenSize is the size in bytes of the token that binds a guest's image to a TPM's volatile
// state.
const TokenSize = 32

// Append appends the encoding, 1 byte: 1 created, 2 measured, which is never without
// created, or 4 restored and 8 must fit, and then the token.
func (s Start) Append(b []byte) []byte {
	b = append(b, flagBits(s.Created, s.Measured, s.Restored, s.MustFit))
	if s.Restored {
		b = append(b, s.Token[:]...)
	}
	return b
}

func parseStart(b []byte) (s Start, err error) {
	r := reader{b: b}
	flags := r.u8()
	switch flags {
	case 0, 1, 3:
		s.Created, s.Measured = flags&1 != 0, flags&2 != 0
	case 4, 4 | 8:
		s.Restored, s.MustFit = true, flags&8 != 0
		s.Token = [TokenSize]byte(r.take(TokenSize))
	default:
		return Start{}, errMessage
	}
	return s, r.done()
}

// A Program is what the host found in the memory of a domain that has not run yet.
type Program struct {
	Hash     [HashSize]byte // SHA-256 of the kernel or loader as loaded; not zeros
	Measurer string         // name and version of what measured it: 1 to MaxName printable ASCII characters
}

// Append appends the encoding: the hash, and the measurer after its length of 1.
func (p *Program) Append(b []byte) []byte {
	return appendText(append(b, p.Hash[:]...), p.Measurer)
}

func (r *reader) program() (p Program) {
	p.Hash = [HashSize]byte(r.take(HashSize))
	p.Measurer = r.text()
	if p.Check() != nil {
		r.bad = true
	}
	return p
}

// Check returns an error unless the fields are in range.
func (p *Program) Check() error {
	if p.Hash == [HashSize]byte{} {
		return errors.New("a hash of zeros is no measurement")
	}
	if p.Measurer == "" || len(p.Measurer) > MaxName || strings.ContainsFunc(p.Measurer, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("the name of a measurer has 1 to %d printable ASCII characters", MaxName)
	}
	return nil
}

// A Creation is what the host reports of a guest's domain that has not run yet.
type Creation struct {
	Domain  uint16
	VTPM    UUID
	Program *Program // what it is to run, if that was measured
}

// Append appends the encoding: domain 2, vTPM 16, the program if there is one.
func (c *Creation) Append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, c.Domain), c.VTPM[:]...)
	if c.Program != nil {
		b = c.Program.Append(b)
	}
	return b
}

// ParseCreation decodes the arguments of Created.
func ParseCreation(b []byte) (Creation, error) {
	r := reader{b: b}
	c := Creation{Domain: r.u16(), VTPM: UUID(r.take(16))}
	if !r.bad && len(r.b) > 0 {
		p := r.program()
		c.Program = &p
	}
	return c, r.done()
}

// A Restoration is what the host reports of a guest's domain that was restored from an image,
// and has not run yet.
type Restoration struct {
	Domain uint16
	VTPM   UUID
	Token  [TokenSize]byte // that is in the image; zeros for none
}

// Append appends the encoding: domain 2, vTPM 16, token 32.
func (t *Restoration) Append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, t.Domain), t.VTPM[:]...)
	return append(b, t.Token[:]...)
}

// ParseRestoration decodes the arguments of Restored.
func ParseRestoration(b []byte) (Restoration, error) {
	r := reader{b: b}
	t := Restoration{Domain: r.u16(), VTPM: UUID(r.take(16)), Token: [TokenSize]byte(r.take(TokenSize))}
	return t, r.done()
}

// appendPrograms appends a list of hashes after its length, one byte.
func appendPrograms(b []byte, all [][HashSize]byte) []byte {
	b = append(b, byte(len(all)))
	for _, p := range all {
		b = append(b, p[:]...)
	}
	return b
}

func (r *reader) programs() (all [][HashSize]byte) {
	n := int(r.u8())
	for i := 0; i < n && !r.bad; i++ {
		p := [HashSize]byte(r.take(HashSize))
		if n > MaxPrograms || p == [HashSize]byte{} || slices.Contains(all, p) {
			r.bad = true
		}
		all = append(all, p)
	}
	return all
}

// A GuestStart is what the manager knows of the starts of one vTPM's guests.
type GuestStart struct {
	UUID UUID

	Serves bool   // a domain has the TPM, or had it last
	Domain uint16 // if Serves

	// Start is that of the domain, as long as the TPM's PCRs are of that start. Program is
	// what was measured then, if it was, and By whose word that is: HostKey or
	// AdminKey.
	Start   Start
	Program Program
	By      KeyRole

	Programs [][HashSize]byte // those that may be started; see Enrollment
	Damaged  bool             // they cannot be read: none may be started
}

// Append appends the encoding.
func (g *GuestStart) Append(b []byte) []byte {
	b = append(append(b, g.UUID[:]...), flagBits(g.Start.Created, g.Start.Measured, g.Serves, g.Damaged))
	b = binary.BigEndian.AppendUint16(b, g.Domain)
	if g.Start.Measured {
		b = append(g.Program.Append(b), byte(g.By))
	}
	return appendPrograms(b, g.Programs)
}

func (r *reader) guestStart() (g GuestStart) {
	g.UUID = UUID(r.take(16))
	flags := r.u8()
	g.Start = Start{Created: flags&1 != 0, Measured: flags&2 != 0}
	g.Serves, g.Damaged = flags&4 != 0, flags&8 != 0
	g.Domain = r.u16()
	if g.Start.Measured {
		g.Program, g.By = r.program(), KeyRole(r.u8())
	}
	g.Programs = r.programs()
	return g
}
