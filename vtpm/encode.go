package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Wire forms of sessions and objects for saved contexts and for the permanent
// state. They never leave the device unprotected.

func (o *object) encode(w *tcg.Writer) {
	w.Uint32(uint32(o.hierarchy))
	w.Uint32(uint32(o.evictHandle))
	w.Flags(o.publicOnly, o.external, o.primary, o.stClear, o.svnLimited, o.firmwareLimited, o.seq != nil)
	if o.seq != nil {
		o.seq.encode(w)
		return
	}
	w.Nested(o.public.Marshal)
	w.Sized(o.name)
	w.Sized(o.qualifiedName)
	if !o.publicOnly {
		s := o.sensitive2B() // of one size, whatever the authorization value
		w.Bytes(s)
		tpmcrypto.Zero(s)
	}
}

func decodeObject(r *tcg.Reader) *object {
	o := new(object)
	o.hierarchy = tcg.TPMHandle(r.Uint32())
	o.evictHandle = tcg.TPMHandle(r.Uint32())
	var isSeq bool
	r.Flags(&o.publicOnly, &o.external, &o.primary, &o.stClear, &o.svnLimited, &o.firmwareLimited, &isSeq)
	if isSeq {
		o.public.Type, o.public.NameAlg = tcg.TPMAlgNull, tcg.TPMAlgNull
		o.seq = decodeSequence(r)
		return o
	}
	r.Nested(o.public.UnmarshalPlus) // an external object may have no Name
	o.public = o.public.Clone()
	o.name = bytes.Clone(r.Sized(maxBlob))
	o.qualifiedName = bytes.Clone(r.Sized(maxBlob))
	if !o.publicOnly {
		r.Nested(o.sensitive.Unmarshal)
		o.sensitive.AuthValue = tcg.TrimAuth(o.sensitive.AuthValue)
		o.sensitive = o.sensitive.Clone()
	}
	return o
}

// maxBlob bounds the size of a field in our own encodings.
const maxBlob = 0xFFFF

func (o *object) clone() *object {
	c := *o
	c.public = o.public.Clone()
	c.sensitive = o.sensitive.Clone()
	c.name, c.qualifiedName = bytes.Clone(o.name), bytes.Clone(o.qualifiedName)
	return &c
}

func (s *session) encode(w *tcg.Writer) {
	w.Uint32(uint32(s.handle))
	w.Flags(s.policy != nil, s.trial, s.daBound, s.lockoutBound, s.audited, s.bindName != nil, !s.bound)
	w.Uint16(uint16(s.hash))
	s.symmetric.Marshal(w)
	w.Sized(s.nonceTPM)
	w.Sized(s.key)
	w.Sized(s.bindName)
	w.Sized(padAuth(s.bindAuth, tcg.MaxDigestSize)) // the size of a context must not tell its length
	w.Sized(s.auditDigest)
	if s.policy != nil {
		s.policy.encode(w)
	}
}

// decodeSession takes what encode appended, of a version of the volatile state.
func decodeSession(r *tcg.Reader, version uint16) *session {
	s := new(session)
	s.handle = tcg.TPMHandle(r.Uint32())
	var isPolicy, isBound, unbound bool
	r.Flags(&isPolicy, &s.trial, &s.daBound, &s.lockoutBound, &s.audited, &isBound, &unbound)
	s.bound = !unbound // an encoding that does not say so is taken as bound
	s.hash = tcg.TPMAlgID(r.Uint16())
	s.symmetric.UnmarshalPlus(r) // most sessions encrypt no parameters
	s.nonceTPM = bytes.Clone(r.Sized(maxBlob))
	s.key = bytes.Clone(r.Sized(maxBlob))
	s.bindName = bytes.Clone(r.Sized(maxBlob))
	s.bindAuth = bytes.Clone(tcg.TrimAuth(r.Sized(maxBlob)))
	if !isBound {
		s.bindName = nil
	}
	s.auditDigest = bytes.Clone(r.Sized(maxBlob))
	if isPolicy {
		s.policy = decodePolicy(r, version)
	}
	return s
}

func (p *policyState) encode(w *tcg.Writer) {
	w.Sized(p.digest)
	w.Uint64(p.start)
	w.Uint32(p.startEpoch)
	w.Uint64(p.timeout)
	w.Uint32(p.epoch)
	w.Uint32(uint32(p.commandCode))
	w.Flags(p.cpHash != nil, p.nameHash != nil, p.templateHash != nil, p.parametersHash != nil,
		p.pcrChecked, p.nvWrittenChecked, p.nvWritten, p.authNeeded, p.passwordNeeded, p.presenceNeeded)
	for _, b := range [][]byte{p.cpHash, p.nameHash, p.templateHash, p.parametersHash} {
		w.Sized(b)
	}
	w.Uint8(p.locality)
	w.Uint32(p.pcrCounter)
	w.Sized(p.transport)
}

func decodePolicy(r *tcg.Reader, version uint16) *policyState {
	p := new(policyState)
	p.digest = bytes.Clone(r.Sized(maxBlob))
	p.start = r.Uint64()
	if version >= 3 {
		p.startEpoch = r.Uint32()
	}
	p.timeout = r.Uint64()
	p.epoch = r.Uint32()
	p.commandCode = tcg.TPMCC(r.Uint32())
	var has [4]bool
	r.Flags(&has[0], &has[1], &has[2], &has[3],
		&p.pcrChecked, &p.nvWrittenChecked, &p.nvWritten, &p.authNeeded, &p.passwordNeeded, &p.presenceNeeded)
	for i, b := range []*[]byte{&p.cpHash, &p.nameHash, &p.templateHash, &p.parametersHash} {
		v := r.Sized(maxBlob)
		if has[i] {
			*b = append([]byte{}, v...)
		}
	}
	p.locality = r.Uint8()
	p.pcrCounter = r.Uint32()
	if t := r.Sized(maxBlob); len(t) > 0 {
		p.transport = bytes.Clone(t)
	}
	return p
}
