package proto

import "encoding/binary"

// A Grant is the manager's response to Load.
type Grant struct {
	// Manufacture is set for a vTPM without a state, which must manufacture a
	// new TPM. Otherwise State is its valid state.
	Manufacture bool

	// Replace allows the new TPM to overwrite another TPM's state on the disk.
	Replace bool

	UUID  UUID   // of this vTPM, also in its sealed state
	Epoch uint32 // number of restores of this vTPM from a backup

	// Ledger is the epoch of the manager's ledger, which each restore of an
	// old copy of it raises.
	Ledger uint32

	State   State
	Entropy [SeedSize]byte // from the hardware TPM

	// Firmware and SVN are the secrets of the vTPM's firmware-limited and
	// SVN-limited hierarchies (TPM 2.0 Part 1, clause 41), for the image that
	// its domain was measured with and for security version 0. They are zero if
	// the domain was not measured.
	Firmware, SVN [KeySize]byte

	// Attested is the field of Enrollment.
	Attested bool

	// Profile is the stored form of the profile (package tcg) of a TPM that is
	// manufactured now, up to MaxProfile bytes; empty for the default.
	Profile string
}

// Append appends the encoding.
func (g *Grant) Append(b []byte) []byte {
	b = append(b, flagBits(g.Manufacture, g.Replace, g.Attested))
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
	return g, r.done()
}
