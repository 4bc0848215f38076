package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// An object is a loaded key, sealed data or sequence.
type object struct {
	public        tcg.TPMTPublic
	sensitive     tcg.TPMTSensitive
	name          []byte
	qualifiedName []byte

	// hierarchy is the one whose seed, or whose parent's seed, protects the
	// object: TPM_RH_NULL for what was loaded there or without a parent.
	hierarchy tcg.TPMHandle

	publicOnly                  bool
	external                    bool // by TPM2_LoadExternal
	primary                     bool
	stClear                     bool // it or an ancestor has stClear SET
	svnLimited, firmwareLimited bool

	evictHandle tcg.TPMHandle // of a persistent object

	key keyCache  // made at first use
	seq *sequence // the object is a sequence
}

func (o *object) wipe() {
	tpmcrypto.Zero(o.sensitive.AuthValue)
	tpmcrypto.Zero(o.sensitive.SeedValue)
	tpmcrypto.Zero(o.sensitive.Sensitive)
	o.key = keyCache{}
}

func (o *object) authValue() []byte {
	if o.seq != nil {
		return o.seq.auth
	}
	return o.sensitive.AuthValue
}

func (o *object) has(attrs tcg.TPMAObject) bool { return o.public.ObjectAttributes&attrs == attrs }

// hasName reports whether o has a Name: nameAlg is not TPM_ALG_NULL, which only
// TPM2_LoadExternal admits (Part 2, "TPMT_PUBLIC"). What has none cannot be a
// parent, share a secret, or be persistent. A sequence has none either.
func (o *object) hasName() bool { return o.seq == nil && o.public.NameAlg != tcg.TPMAlgNull }

// isStorageParent reports whether o may be the parent of ordinary objects.
func (o *object) isStorageParent() bool {
	return o.hasName() && !o.publicOnly &&
		o.has(tcg.TPMAObjectRestricted|tcg.TPMAObjectDecrypt) && !o.has(tcg.TPMAObjectSignEncrypt) &&
		(o.public.Type == tcg.TPMAlgRSA || o.public.Type == tcg.TPMAlgECC || o.public.Type == tcg.TPMAlgSymCipher)
}

// isDerivationParent reports whether o may be the parent of derived objects.
func (o *object) isDerivationParent() bool {
	return o.hasName() && !o.publicOnly && o.public.Type == tcg.TPMAlgKeyedHash &&
		o.has(tcg.TPMAObjectRestricted|tcg.TPMAObjectDecrypt)
}

// objectName is the Name of a public area: algorithm and digest (Part 1,
// "Object Name"); empty if the name algorithm is TPM_ALG_NULL.
func objectName(p *tcg.TPMTPublic) []byte {
	if p.NameAlg == tcg.TPMAlgNull {
		return nil
	}
	h := digest(p.NameAlg, tcg.Marshal(p))
	return append([]byte{byte(p.NameAlg >> 8), byte(p.NameAlg)}, h...)
}

// qualifiedName is H(parent's qualified name || name), with the algorithm in
// front (Part 1, "Qualified Name").
func qualifiedName(nameAlg tcg.TPMAlgID, parent, name []byte) []byte {
	if nameAlg == tcg.TPMAlgNull {
		return nil
	}
	return append([]byte{byte(nameAlg >> 8), byte(nameAlg)}, digest(nameAlg, parent, name)...)
}

// finish fills the fields of a new object that follow from its public area
// and parent. A primary object's parent is its hierarchy: then p is nil.
func (o *object) finish(root tcg.TPMHandle, p *object) {
	o.name = objectName(&o.public)
	o.hierarchy = root
	parentQN := root.Bytes()
	o.stClear = o.has(tcg.TPMAObjectSTClear)
	if p != nil {
		parentQN = p.qualifiedName
		o.stClear = o.stClear || p.stClear
	}
	o.qualifiedName = qualifiedName(o.public.NameAlg, parentQN, o.name)
}
