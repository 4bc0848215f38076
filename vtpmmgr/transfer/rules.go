package transfer

import (
	"encoding/binary"
	"slices"
)

// Claims are what evidence shows of the manager that made it.
type Claims struct {
	Manager         ID
	Image           Hash   // SHA-256 of the manager's image
	SecurityVersion uint32 // of the image
	Place           Hash   // SHA-256 of the public key of its certificate's issuer
	Labels          bool   // Xen's security labels are enforced there
}

// Rules are an owner's rules of where a vTPM may be. An empty list allows all.
type Rules struct {
	Managers        []ID
	Images, Places  []Hash
	SecurityVersion uint32 // the least one
	Labels          bool   // are needed
}

// Allow returns nil, or [NotAllowed] and why.
func (r *Rules) Allow(c *Claims) error {
	switch {
	case len(r.Managers) > 0 && !slices.Contains(r.Managers, c.Manager):
		return NotAllowed.because(rule("manager"))
	case len(r.Images) > 0 && !slices.Contains(r.Images, c.Image):
		return NotAllowed.because(rule("image"))
	case len(r.Places) > 0 && !slices.Contains(r.Places, c.Place):
		return NotAllowed.because(rule("place"))
	case c.SecurityVersion < r.SecurityVersion:
		return NotAllowed.because(rule("security version"))
	case r.Labels && !c.Labels:
		return NotAllowed.because(rule("security labels"))
	}
	return nil
}

// rule is the error of a rule that does not allow a target.
type rule string

func (r rule) Error() string { return "by its " + string(r) }

// MaxRules is the largest number of entries of each list of rules.
const MaxRules = 8

func (r *Rules) append(b []byte) []byte {
	b = append(b, byte(len(r.Managers)))
	for _, m := range r.Managers {
		b = append(b, m[:]...)
	}
	for _, list := range [][]Hash{r.Images, r.Places} {
		b = appendHashes(b, list)
	}
	return appendFlag(binary.BigEndian.AppendUint32(b, r.SecurityVersion), r.Labels)
}

func appendHashes(b []byte, list []Hash) []byte {
	b = append(b, byte(len(list)))
	for _, h := range list {
		b = append(b, h[:]...)
	}
	return b
}

// hashes reads a list with its length, 1 byte, before it.
func (r *reader) hashes(most int) (list []Hash) {
	n := int(r.u8())
	r.bad = r.bad || n > most
	for ; n > 0 && !r.bad; n-- {
		list = append(list, r.hash())
	}
	return list
}

func (r *reader) rules() (v Rules) {
	n := int(r.u8())
	r.bad = r.bad || n > MaxRules
	for ; n > 0 && !r.bad; n-- {
		v.Managers = append(v.Managers, r.id())
	}
	v.Images, v.Places = r.hashes(MaxRules), r.hashes(MaxRules)
	v.SecurityVersion, v.Labels = r.u32(), r.flag()
	return v
}
