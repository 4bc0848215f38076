package object

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// IsStorageKey reports whether o is an asymmetric storage key with a Name. Its
// private part need not be loaded.
func (o *Object) IsStorageKey() bool {
	return o.HasName() && isAsymmetricStorage(o.Public.Type) && IsStorageTemplate(&o.Public)
}

// isAsymmetricStorage reports whether keys of a type can be parents that share
// secrets.
func isAsymmetricStorage(t tcg.TPMAlgID) bool {
	return t == tcg.TPMAlgRSA || t == tcg.TPMAlgECC || t == tcg.TPMAlgMLKEM
}

// SecretWrapper protects with a secret shared by key o (Part 1, "Credential
// Protection"; "Duplication").
func SecretWrapper(o *Object, seed, name []byte) wrapper {
	return wrapper{hash: o.Public.NameAlg, sym: o.Symmetric(), seed: seed, name: name}
}

// Protection of a sensitive area that leaves the TPM: symmetric encryption
// and an HMAC, with keys derived from a seed (Part 1, "Protected Storage").

// A wrapper has what the outer protection of a blob is made with.
type wrapper struct {
	hash tcg.TPMAlgID
	sym  tcg.TPMTSymDefObject
	seed []byte
	name []byte // of the protected object
}

// StorageWrapper returns the protection that a storage key gives the private area of
// a child with a Name (Part 1, "Protected Storage").
func StorageWrapper(parent *Object, name []byte) wrapper {
	return wrapper{
		hash: parent.Public.NameAlg,
		sym:  parent.Symmetric(),
		seed: parent.Sensitive.SeedValue,
		name: name,
	}
}

// Symmetric is the algorithm with which a storage parent protects children.
func (o *Object) Symmetric() tcg.TPMTSymDefObject {
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		return o.Public.RSA.Symmetric
	case tcg.TPMAlgECC:
		return o.Public.ECC.Symmetric
	case tcg.TPMAlgMLKEM:
		return o.Public.MLKEM.Symmetric
	}
	return o.Public.Sym
}

func (w *wrapper) keys() (symKey, hmacKey []byte) {
	symKey = tpmcrypto.KDFa(w.hash, w.seed, "STORAGE", w.name, nil, int(w.sym.KeyBits))
	hmacKey = tpmcrypto.KDFa(w.hash, w.seed, "INTEGRITY", nil, nil, 8*tpmcrypto.MustSize(w.hash))
	return symKey, hmacKey
}

// Wrap returns integrity || [iv ||] encrypted. iv is nil for blobs that other
// TPMs read (duplication), where it is zero and not sent; for blobs that come
// back to this TPM it is random, since the same key protects many versions.
func (w *wrapper) Wrap(iv, plain []byte) []byte {
	symKey, hmacKey := w.keys()
	body := append([]byte(nil), plain...)
	tpmcrypto.MustCFB(w.sym.Algorithm, symKey, iv, body, true)
	var front tcg.Writer
	if iv != nil {
		front.Sized(iv)
	}
	mac := tpmcrypto.MAC(w.hash, hmacKey, front.B, body, w.name)
	var out tcg.Writer
	out.Sized(mac)
	out.Bytes(front.B)
	out.Bytes(body)
	tpmcrypto.Zero(symKey)
	tpmcrypto.Zero(hmacKey)
	return out.B
}

// Unwrap checks integrity, then decrypts. A wrong HMAC is TPM_RC_INTEGRITY.
func (w *wrapper) Unwrap(blob []byte, hasIV bool) ([]byte, tcg.TPMRC) {
	r := tcg.NewReader(blob, nil)
	mac := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if len(mac) != tpmcrypto.MustSize(w.hash) {
		return nil, tcg.TPMRCSize
	}
	rest := r.Rest()
	symKey, hmacKey := w.keys()
	defer tpmcrypto.Zero(symKey)
	defer tpmcrypto.Zero(hmacKey)
	if !tpmcrypto.Equal(mac, tpmcrypto.MAC(w.hash, hmacKey, rest, w.name)) {
		return nil, tcg.TPMRCIntegrity
	}
	var iv []byte
	if hasIV {
		in := tcg.NewReader(rest, nil)
		iv = in.Sized(tpmcrypto.IVSize(w.sym.Algorithm))
		rest = in.Rest()
		if rc := in.Err(); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if len(iv) != tpmcrypto.IVSize(w.sym.Algorithm) {
			return nil, tcg.TPMRCSize
		}
	}
	plain := append([]byte(nil), rest...)
	tpmcrypto.MustCFB(w.sym.Algorithm, symKey, iv, plain, false)
	return plain, tcg.TPMRCSuccess
}

// Sensitive2B is the TPM2B_SENSITIVE of o as it leaves the TPM, which
// ReadSensitive takes.
func (o *Object) Sensitive2B() []byte {
	s := o.Sensitive
	s.AuthValue = tcg.PadAuth(s.AuthValue, tpmcrypto.DigestSize(o.Public.NameAlg))
	defer tpmcrypto.Zero(s.AuthValue)
	w := tcg.Writer{B: make([]byte, 0, 2+2+3*(2+tcg.MaxDigestSize)+tcg.MaxRSAKeyBytes/2)}
	s.Marshal2B(&w)
	return w.B
}

// Protect returns the sensitive area of child encrypted by o, its parent. iv has a
// block of the parent's cipher and is random.
func (o *Object) Protect(child *Object, iv []byte) []byte {
	w := StorageWrapper(o, child.Name)
	plain := child.Sensitive2B()
	defer tpmcrypto.Zero(plain)
	return w.Wrap(iv, plain)
}

// Unprotect opens a blob that Protect made of the child with a Name.
func (o *Object) Unprotect(name, blob []byte, profile *tcg.Profile) (s tcg.TPMTSensitive, rc tcg.TPMRC) {
	w := StorageWrapper(o, name)
	plain, rc := w.Unwrap(blob, true)
	if rc != tcg.TPMRCSuccess {
		return s, rc
	}
	return ReadSensitive(plain, profile)
}

// ReadSensitive takes a TPM2B_SENSITIVE that fills b. Whether authValue is padded
// is what made it to decide.
func ReadSensitive(b []byte, p *tcg.Profile) (s tcg.TPMTSensitive, rc tcg.TPMRC) {
	r := tcg.NewReader(b, p)
	r.Nested(s.Unmarshal)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return s, rc
	}
	if r.Len() != 0 {
		return s, tcg.TPMRCSize
	}
	s.AuthValue = tcg.TrimAuth(s.AuthValue)
	return s.Clone(), tcg.TPMRCSuccess
}
