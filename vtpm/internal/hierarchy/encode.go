package hierarchy

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

const maxSecret = 0xFFFF // bytes of a field

// Encode appends the secrets to a saved state.
func (s *Secrets) Encode(w *tcg.Writer) {
	w.Sized(s.Seed)
	w.Sized(s.Proof)
}

// Decode reads what Encode appended.
func (s *Secrets) Decode(r *tcg.Reader) {
	s.Seed = bytes.Clone(r.Sized(maxSecret))
	s.Proof = bytes.Clone(r.Sized(maxSecret))
}

// Encode appends the policy to a saved state.
func (p *Policy) Encode(w *tcg.Writer) {
	w.Uint16(uint16(p.Hash))
	w.Sized(p.Digest)
}

// Decode reads what Encode appended.
func (p *Policy) Decode(r *tcg.Reader) {
	p.Hash = tcg.TPMAlgID(r.Uint16())
	p.Digest = bytes.Clone(r.Sized(tcg.MaxDigestSize))
}

// Encode appends all but DisableClear to a saved state.
func (p *Permanent) Encode(w *tcg.Writer) {
	for _, s := range []*Secrets{&p.endorsement, &p.storage, &p.platform} {
		s.Encode(w)
	}
	w.Uint16(p.Derivation)
	w.Sized(p.ownerAuth)
	w.Sized(p.endorsementAuth)
	w.Sized(p.lockoutAuth)
	for _, a := range []*Policy{&p.ownerPolicy, &p.endorsementPolicy, &p.lockoutPolicy} {
		a.Encode(w)
	}
}

// Decode reads what Encode appended.
func (p *Permanent) Decode(r *tcg.Reader) {
	for _, s := range []*Secrets{&p.endorsement, &p.storage, &p.platform} {
		s.Decode(r)
	}
	p.Derivation = r.Uint16()
	p.ownerAuth = bytes.Clone(r.Sized(maxSecret))
	p.endorsementAuth = bytes.Clone(r.Sized(maxSecret))
	p.lockoutAuth = bytes.Clone(r.Sized(maxSecret))
	for _, a := range []*Policy{&p.ownerPolicy, &p.endorsementPolicy, &p.lockoutPolicy} {
		a.Decode(r)
	}
}

// Encode appends all but what says which hierarchies are enabled.
func (c *Clear) Encode(w *tcg.Writer) {
	w.Sized(c.platformAuth)
	c.platformPolicy.Encode(w)
}

// Decode reads what Encode appended.
func (c *Clear) Decode(r *tcg.Reader) {
	c.platformAuth = bytes.Clone(r.Sized(maxSecret))
	c.platformPolicy.Decode(r)
}
