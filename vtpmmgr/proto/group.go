package proto

import (
	"encoding/binary"
	"strconv"
)

// A Group is a tenant. The keys of its vTPMs are wrapped by a key of its own.
type Group struct {
	ID       uint32   // 0 for the group that always exists
	Name     string   // see Valid
	Approver [32]byte // Ed25519 key that signs orders about its vTPMs; zeros for the administrator's
	Escrow   []byte   // HPKE public key (X25519, 32 bytes) that its key is sealed to; empty for none
	Labels   string   // allowed security labels of its vTPMs' domains, separated by commas; empty for any
	Quota    uint32   // largest number of vTPMs, set by the administrator; 0 for no limit
}

// Valid reports whether a group may be given this name and these labels: both printable, and
// the name 1 to MaxName bytes that are not those of a group's ID.
func (g *Group) Valid() bool {
	_, isID := ParseGroupID(g.Name)
	return g.Name != "" && len(g.Name) <= MaxName && !isID && Printable(g.Name) && Printable(g.Labels)
}

// ParseGroupID decodes an ID as it is written: 8 hexadecimal digits.
func ParseGroupID(s string) (id uint32, ok bool) {
	if len(s) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 32)
	return uint32(n), err == nil
}

// Append appends the encoding.
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

// ParseGroup decodes a Group, which need not be valid, and returns what follows it.
func ParseGroup(b []byte) (g Group, rest []byte, err error) {
	r := reader{b: b}
	g = r.group()
	if r.bad {
		return g, nil, errMessage
	}
	return g, r.b, nil
}
