package session

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// Encode writes s as a context and a volatile state have it.
func (s *Session) Encode(w *tcg.Writer) {
	w.Uint32(uint32(s.Handle))
	w.Flags(s.Policy != nil, s.Trial, s.DABound, s.LockoutBound, s.Audited, s.BindName != nil, !s.Bound)
	w.Uint16(uint16(s.Hash))
	s.Symmetric.Marshal(w)
	w.Sized(s.NonceTPM)
	w.Sized(s.Key)
	w.Sized(s.BindName)
	w.Sized(tcg.PadAuth(s.BindAuth, tcg.MaxDigestSize)) // the size of a context must not tell its length
	w.Sized(s.AuditDigest)
	if s.Policy != nil {
		s.Policy.Encode(w)
	}
}

// Decode takes what encode appended, of a version of the volatile state.
func Decode(r *tcg.Reader, version uint16) *Session {
	s := new(Session)
	s.Handle = tcg.TPMHandle(r.Uint32())
	var isPolicy, isBound, unbound bool
	r.Flags(&isPolicy, &s.Trial, &s.DABound, &s.LockoutBound, &s.Audited, &isBound, &unbound)
	s.Bound = !unbound // an encoding that does not say so is taken as bound
	s.Hash = tcg.TPMAlgID(r.Uint16())
	s.Symmetric.UnmarshalPlus(r) // most sessions encrypt no parameters
	s.NonceTPM = bytes.Clone(r.Sized(tcg.MaxStored))
	s.Key = bytes.Clone(r.Sized(tcg.MaxStored))
	s.BindName = bytes.Clone(r.Sized(tcg.MaxStored))
	s.BindAuth = bytes.Clone(tcg.TrimAuth(r.Sized(tcg.MaxStored)))
	if !isBound {
		s.BindName = nil
	}
	s.AuditDigest = bytes.Clone(r.Sized(tcg.MaxStored))
	if isPolicy {
		s.Policy = decodePolicy(r, version)
	}
	return s
}

// Encode writes p as part of a session.
func (p *Policy) Encode(w *tcg.Writer) {
	w.Sized(p.Digest)
	w.Uint64(p.Start)
	w.Uint32(p.StartEpoch)
	w.Uint64(p.Timeout)
	w.Uint32(p.Epoch)
	w.Uint32(uint32(p.CommandCode))
	w.Flags(p.CPHash != nil, p.NameHash != nil, p.TemplateHash != nil, p.ParametersHash != nil,
		p.PCRChecked, p.NVWrittenChecked, p.NVWritten, p.AuthNeeded, p.PasswordNeeded, p.PresenceNeeded)
	for _, b := range [][]byte{p.CPHash, p.NameHash, p.TemplateHash, p.ParametersHash} {
		w.Sized(b)
	}
	w.Uint8(p.Locality)
	w.Uint32(p.PCRCounter)
	w.Sized(p.Transport)
}

func decodePolicy(r *tcg.Reader, version uint16) *Policy {
	p := new(Policy)
	p.Digest = bytes.Clone(r.Sized(tcg.MaxStored))
	p.Start = r.Uint64()
	if version >= 3 {
		p.StartEpoch = r.Uint32()
	}
	p.Timeout = r.Uint64()
	p.Epoch = r.Uint32()
	p.CommandCode = tcg.TPMCC(r.Uint32())
	var has [4]bool
	r.Flags(&has[0], &has[1], &has[2], &has[3],
		&p.PCRChecked, &p.NVWrittenChecked, &p.NVWritten, &p.AuthNeeded, &p.PasswordNeeded, &p.PresenceNeeded)
	for i, b := range []*[]byte{&p.CPHash, &p.NameHash, &p.TemplateHash, &p.ParametersHash} {
		v := r.Sized(tcg.MaxStored)
		if has[i] {
			*b = append([]byte{}, v...)
		}
	}
	p.Locality = r.Uint8()
	p.PCRCounter = r.Uint32()
	if t := r.Sized(tcg.MaxStored); len(t) > 0 {
		p.Transport = bytes.Clone(t)
	}
	return p
}
