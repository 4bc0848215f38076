package tpmtest

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// Attributes that templates have: of a key that the TPM makes and uses for
// whoever knows its authorization value, without dictionary attack protection;
// and of one that is not to leave the TPM.
const (
	Ordinary = tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA
	Fixed    = tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent
	Parent   = tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt
)

// ECC is the template of an Ordinary key on P-256 with these attributes, too. A
// Parent protects its children with AES-128.
func ECC(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgECC, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: Ordinary | attributes}
	p.ECC.CurveID = tcg.TPMECCNistP256
	p.ECC.Symmetric = symmetric(attributes)
	p.ECC.Scheme.Scheme, p.ECC.KDF.Scheme = tcg.TPMAlgNull, tcg.TPMAlgNull
	return p
}

// RSA is the template of an Ordinary key of RSA-2048 with these attributes, too.
func RSA(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgRSA, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: Ordinary | attributes}
	p.RSA.KeyBits = 2048
	p.RSA.Symmetric = symmetric(attributes)
	p.RSA.Scheme.Scheme = tcg.TPMAlgNull
	return p
}

// PostQuantum is the text of a profile with ML-KEM, ML-DSA, HashML-DSA, ECC keys
// that encapsulate, and the commands for them, for Profile.
const PostQuantum = `base = pc-client
algorithms = mlkem, mldsa, hash-mldsa, hkdf
mlkem = 512, 768, 1024
mldsa = 44, 65
commands = Encapsulate, Decapsulate, SignDigest, SignSequenceStart, SignSequenceComplete, VerifyDigestSignature, VerifySequenceStart, VerifySequenceComplete
`

// MLKEM is the template of an Ordinary key of ML-KEM-768 with these attributes, too.
// A Parent protects its children with AES-128.
func MLKEM(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgMLKEM, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: Ordinary | attributes}
	p.MLKEM = tcg.TPMSMLKEMParms{Symmetric: symmetric(attributes), ParameterSet: tcg.TPMMLKEM768}
	return p
}

// MLDSA is the template of an Ordinary signing key of ML-DSA-65 with these
// attributes, too.
func MLDSA(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgMLDSA, NameAlg: tcg.TPMAlgSHA256,
		ObjectAttributes: Ordinary | tcg.TPMAObjectSignEncrypt | attributes}
	p.MLDSA.ParameterSet = tcg.TPMMLDSA65
	return p
}

// AES is the template of an Ordinary key of AES-128 with these attributes, too. A
// Parent's mode is CFB; that of another is any.
func AES(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgSymCipher, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: Ordinary | attributes}
	p.Sym = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgNull}
	if attributes.Has(Parent) {
		p.Sym.Mode = tcg.TPMAlgCFB
	}
	return p
}

// HMAC is the template of an Ordinary key for HMAC-SHA-256 with these
// attributes, too.
func HMAC(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256,
		ObjectAttributes: Ordinary | tcg.TPMAObjectSignEncrypt | attributes}
	p.KeyedHash.Scheme = tcg.TPMTKeyedHashScheme{Scheme: tcg.TPMAlgHMAC, HashAlg: tcg.TPMAlgSHA256}
	return p
}

// Sealed is the template of data that the caller gives.
func Sealed() tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256,
		ObjectAttributes: tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA}
	p.KeyedHash.Scheme.Scheme = tcg.TPMAlgNull
	return p
}

// symmetric is the cipher that a key of these attributes protects with.
func symmetric(attributes tcg.TPMAObject) tcg.TPMTSymDefObject {
	if attributes.Has(Parent) {
		return tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
	}
	return tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgNull}
}

// An Object is one that is loaded.
type Object struct {
	Handle  tcg.TPMHandle
	Public  tcg.TPMTPublic
	Name    []byte
	Private []byte // TPM2B_PRIVATE's content, if the TPM gave one
}

// Primary makes a primary object of a hierarchy.
func (t *TPM) Primary(hierarchy tcg.TPMHandle, public tcg.TPMTPublic, sensitive tcg.TPMSSensitiveCreate) Object {
	t.tb.Helper()
	r := t.Do(tcg.TPMCCCreatePrimary, Handles{hierarchy}, nil, sensitive, public, nil, nil)
	o := Object{Handle: r.Handle, Public: t.public(r.Sized(1 << 15))}
	o.Name = t.Name(o.Handle)
	return o
}

// Create makes an object below a parent whose authorization value is empty, and
// loads it.
func (t *TPM) Create(parent tcg.TPMHandle, public tcg.TPMTPublic, sensitive tcg.TPMSSensitiveCreate) Object {
	t.tb.Helper()
	r := t.Do(tcg.TPMCCCreate, Handles{parent}, nil, sensitive, public, nil, nil)
	o := Object{Private: bytes.Clone(r.Sized(1 << 15))}
	o.Public = t.public(r.Sized(1 << 15))
	l := t.Do(tcg.TPMCCLoad, Handles{parent}, nil, o.Private, o.Public)
	o.Handle, o.Name = l.Handle, bytes.Clone(l.Sized(1<<15))
	return o
}

// Public returns the public area of a loaded object.
func (t *TPM) Public(h tcg.TPMHandle) tcg.TPMTPublic {
	t.tb.Helper()
	r := t.Do(tcg.TPMCCReadPublic, Handles{h}, nil)
	return t.public(r.Sized(1 << 15))
}

func (t *TPM) public(b []byte) (p tcg.TPMTPublic) {
	t.tb.Helper()
	profile := t.Profile()
	r := tcg.NewReader(b, &profile)
	p.UnmarshalPlus(&r)
	if r.Err() != tcg.TPMRCSuccess {
		t.tb.Fatalf("tpmtest: public area %x: %v", b, r.Err())
	}
	return p.Clone()
}

// Flush removes objects and sessions that are loaded.
func (t *TPM) Flush(handles ...tcg.TPMHandle) {
	t.tb.Helper()
	for _, h := range handles {
		t.Do(tcg.TPMCCFlushContext, nil, nil, h)
	}
}
