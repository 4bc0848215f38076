package object

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// An Object is a loaded key, sealed data or sequence.
type Object struct {
	Public        tcg.TPMTPublic
	Sensitive     tcg.TPMTSensitive
	Name          []byte
	QualifiedName []byte

	// Hierarchy is the one whose seed, or whose parent's seed, protects the
	// object: TPM_RH_NULL for what was loaded there or without a parent.
	Hierarchy tcg.TPMHandle

	PublicOnly                  bool
	External                    bool // by TPM2_LoadExternal
	Primary                     bool
	StClear                     bool // it or an ancestor has stClear SET
	svnLimited, firmwareLimited bool

	EvictHandle tcg.TPMHandle // of a persistent object

	Key keyCache  // made at first use
	Seq *Sequence // the object is a sequence
}

// Wipe overwrites the secrets of o.
func (o *Object) Wipe() {
	tpmcrypto.Zero(o.Sensitive.AuthValue)
	tpmcrypto.Zero(o.Sensitive.SeedValue)
	tpmcrypto.Zero(o.Sensitive.Sensitive)
	if o.Key.MLKEM != nil {
		o.Key.MLKEM.Zero()
	}
	if o.Key.MLDSA != nil {
		o.Key.MLDSA.Zero()
	}
	o.Key = keyCache{}
	if o.Seq != nil {
		o.Seq.Wipe()
	}
}

// Units is how many of the persistent objects that there may be o counts for: two
// if it has a long public key.
func (o *Object) Units() int { return 1 + len(o.Public.UniqueML)/1024 }

// AuthValue returns the authorization value of the object or sequence.
func (o *Object) AuthValue() []byte {
	if o.Seq != nil {
		return o.Seq.Auth
	}
	return o.Sensitive.AuthValue
}

// Has reports whether all of attrs are set.
func (o *Object) Has(attrs tcg.TPMAObject) bool { return o.Public.ObjectAttributes&attrs == attrs }

// HasName reports whether o has a Name: nameAlg is not TPM_ALG_NULL, which only
// TPM2_LoadExternal admits (Part 2, "TPMT_PUBLIC"). What has none cannot be a
// parent, share a secret, or be persistent. A sequence has none either.
func (o *Object) HasName() bool { return o.Seq == nil && o.Public.NameAlg != tcg.TPMAlgNull }

// IsStorageParent reports whether o may be the parent of ordinary objects.
func (o *Object) IsStorageParent() bool {
	return o.HasName() && !o.PublicOnly &&
		o.Has(tcg.TPMAObjectRestricted|tcg.TPMAObjectDecrypt) && !o.Has(tcg.TPMAObjectSignEncrypt) &&
		(isAsymmetricStorage(o.Public.Type) || o.Public.Type == tcg.TPMAlgSymCipher)
}

// IsDerivationParent reports whether o may be the parent of derived objects.
func (o *Object) IsDerivationParent() bool {
	return o.HasName() && !o.PublicOnly && o.Public.Type == tcg.TPMAlgKeyedHash &&
		o.Has(tcg.TPMAObjectRestricted|tcg.TPMAObjectDecrypt)
}

// Name is the Name of a public area: algorithm and digest (Part 1,
// "Object Name"); empty if the name algorithm is TPM_ALG_NULL.
func Name(p *tcg.TPMTPublic) []byte {
	if p.NameAlg == tcg.TPMAlgNull {
		return nil
	}
	h := tpmcrypto.Digest(p.NameAlg, tcg.Marshal(p))
	return append([]byte{byte(p.NameAlg >> 8), byte(p.NameAlg)}, h...)
}

// QualifiedName is H(parent's qualified name || name), with the algorithm in
// front (Part 1, "Qualified Name").
func QualifiedName(nameAlg tcg.TPMAlgID, parent, name []byte) []byte {
	if nameAlg == tcg.TPMAlgNull {
		return nil
	}
	return append([]byte{byte(nameAlg >> 8), byte(nameAlg)}, tpmcrypto.Digest(nameAlg, parent, name)...)
}

// Finish fills the fields of a new object that follow from its public area
// and parent. A primary object's parent is its hierarchy: then p is nil.
func (o *Object) Finish(root tcg.TPMHandle, p *Object) {
	o.Name = Name(&o.Public)
	o.Hierarchy = root
	parentQN := root.Bytes()
	o.StClear = o.Has(tcg.TPMAObjectSTClear)
	if p != nil {
		parentQN = p.QualifiedName
		o.StClear = o.StClear || p.StClear
	}
	o.QualifiedName = QualifiedName(o.Public.NameAlg, parentQN, o.Name)
}
