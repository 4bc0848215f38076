package object

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Wire forms of sessions and objects for saved contexts and for the permanent
// state. They never leave the device unprotected.

// Encode writes o as a state and a context have it.
func (o *Object) Encode(w *tcg.Writer) {
	w.Uint32(uint32(o.Hierarchy))
	w.Uint32(uint32(o.EvictHandle))
	w.Flags(o.PublicOnly, o.External, o.Primary, o.StClear, o.svnLimited, o.firmwareLimited, o.Seq != nil)
	if o.Seq != nil {
		o.Seq.Encode(w)
		return
	}
	w.Nested(o.Public.Marshal)
	w.Sized(o.Name)
	w.Sized(o.QualifiedName)
	if !o.PublicOnly {
		s := o.Sensitive2B() // of one size, whatever the authorization value
		w.Bytes(s)
		tpmcrypto.Zero(s)
	}
}

// Decode reads what Encode wrote.
func Decode(r *tcg.Reader) *Object {
	o := new(Object)
	o.Hierarchy = tcg.TPMHandle(r.Uint32())
	o.EvictHandle = tcg.TPMHandle(r.Uint32())
	var isSeq bool
	r.Flags(&o.PublicOnly, &o.External, &o.Primary, &o.StClear, &o.svnLimited, &o.firmwareLimited, &isSeq)
	if isSeq {
		o.Public.Type, o.Public.NameAlg = tcg.TPMAlgNull, tcg.TPMAlgNull
		o.Seq = DecodeSequence(r)
		return o
	}
	r.Nested(o.Public.UnmarshalPlus) // an external object may have no Name
	o.Public = o.Public.Clone()
	o.Name = bytes.Clone(r.Sized(tcg.MaxStored))
	o.QualifiedName = bytes.Clone(r.Sized(tcg.MaxStored))
	if !o.PublicOnly {
		r.Nested(o.Sensitive.Unmarshal)
		o.Sensitive.AuthValue = tcg.TrimAuth(o.Sensitive.AuthValue)
		o.Sensitive = o.Sensitive.Clone()
	}
	return o
}

// Clone returns a copy that shares nothing with o but the key made at first use,
// and that not if Wipe overwrites it.
func (o *Object) Clone() *Object {
	c := *o
	c.Key.MLKEM, c.Key.MLDSA = nil, nil
	c.Public = o.Public.Clone()
	c.Sensitive = o.Sensitive.Clone()
	c.Name, c.QualifiedName = bytes.Clone(o.Name), bytes.Clone(o.QualifiedName)
	return &c
}
