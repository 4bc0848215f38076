package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Protection of a sensitive area that leaves the TPM: symmetric encryption
// and an HMAC, with keys derived from a seed (Part 1, "Protected Storage").

// A wrapper has what the outer protection of a blob is made with.
type wrapper struct {
	hash tcg.TPMAlgID
	sym  tcg.TPMTSymDefObject
	seed []byte
	name []byte // of the protected object
}

func storageWrapper(parent *object, name []byte) wrapper {
	return wrapper{
		hash: parent.public.NameAlg,
		sym:  parent.symmetric(),
		seed: parent.sensitive.SeedValue,
		name: name,
	}
}

// symmetric is the algorithm with which a storage parent protects children.
func (o *object) symmetric() tcg.TPMTSymDefObject {
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		return o.public.RSA.Symmetric
	case tcg.TPMAlgECC:
		return o.public.ECC.Symmetric
	}
	return o.public.Sym
}

func (w *wrapper) keys() (symKey, hmacKey []byte) {
	symKey = tpmcrypto.KDFa(w.hash, w.seed, "STORAGE", w.name, nil, int(w.sym.KeyBits))
	hmacKey = tpmcrypto.KDFa(w.hash, w.seed, "INTEGRITY", nil, nil, 8*hashSize(w.hash))
	return symKey, hmacKey
}

// wrap returns integrity || [iv ||] encrypted. iv is nil for blobs that other
// TPMs read (duplication), where it is zero and not sent; for blobs that come
// back to this TPM it is random, since the same key protects many versions.
func (w *wrapper) wrap(iv, plain []byte) []byte {
	symKey, hmacKey := w.keys()
	body := append([]byte(nil), plain...)
	cfb(w.sym.Algorithm, symKey, iv, body, true)
	var front tcg.Writer
	if iv != nil {
		front.Sized(iv)
	}
	mac := hmacSum(w.hash, hmacKey, front.B, body, w.name)
	var out tcg.Writer
	out.Sized(mac)
	out.Bytes(front.B)
	out.Bytes(body)
	tpmcrypto.Zero(symKey)
	tpmcrypto.Zero(hmacKey)
	return out.B
}

// unwrap checks integrity, then decrypts. A wrong HMAC is TPM_RC_INTEGRITY.
func (w *wrapper) unwrap(blob []byte, hasIV bool) ([]byte, tcg.TPMRC) {
	r := tcg.NewReader(blob, nil)
	mac := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if len(mac) != hashSize(w.hash) {
		return nil, tcg.TPMRCSize
	}
	rest := r.Rest()
	symKey, hmacKey := w.keys()
	defer tpmcrypto.Zero(symKey)
	defer tpmcrypto.Zero(hmacKey)
	if !tpmcrypto.Equal(mac, hmacSum(w.hash, hmacKey, rest, w.name)) {
		return nil, tcg.TPMRCIntegrity
	}
	var iv []byte
	if hasIV {
		in := tcg.NewReader(rest, nil)
		iv = in.Sized(blockSize(w.sym.Algorithm))
		rest = in.Rest()
		if rc := in.Err(); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if len(iv) != blockSize(w.sym.Algorithm) {
			return nil, tcg.TPMRCSize
		}
	}
	plain := append([]byte(nil), rest...)
	cfb(w.sym.Algorithm, symKey, iv, plain, false)
	return plain, tcg.TPMRCSuccess
}

// padAuth returns an authorization value as it leaves the TPM: with zeros up to
// size, the largest that it can have, so that the size of what it is in does not
// tell its length (Part 1, 24.7.3). They are no part of the value.
func padAuth(auth []byte, size int) []byte {
	b := make([]byte, max(size, len(auth)))
	copy(b, auth)
	return b
}

// sensitive2B is the TPM2B_SENSITIVE of o as it leaves the TPM, which
// readSensitive takes.
func (o *object) sensitive2B() []byte {
	s := o.sensitive
	s.AuthValue = padAuth(s.AuthValue, tpmcrypto.DigestSize(o.public.NameAlg))
	defer tpmcrypto.Zero(s.AuthValue)
	w := tcg.Writer{B: make([]byte, 0, 2+2+3*(2+tcg.MaxDigestSize)+tcg.MaxRSAKeyBytes/2)}
	s.Marshal2B(&w)
	return w.B
}

// protect returns the sensitive area of child encrypted by o, its parent. iv has a
// block of the parent's cipher and is random.
func (o *object) protect(child *object, iv []byte) []byte {
	w := storageWrapper(o, child.name)
	plain := child.sensitive2B()
	defer tpmcrypto.Zero(plain)
	return w.wrap(iv, plain)
}

// unprotect opens a blob that protect made of the child with a Name.
func (o *object) unprotect(name, blob []byte, profile *tcg.Profile) (s tcg.TPMTSensitive, rc tcg.TPMRC) {
	w := storageWrapper(o, name)
	plain, rc := w.unwrap(blob, true)
	if rc != tcg.TPMRCSuccess {
		return s, rc
	}
	return readSensitive(plain, profile)
}

// readSensitive takes a TPM2B_SENSITIVE that fills b. Whether authValue is padded
// is what made it to decide.
func readSensitive(b []byte, p *tcg.Profile) (s tcg.TPMTSensitive, rc tcg.TPMRC) {
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
