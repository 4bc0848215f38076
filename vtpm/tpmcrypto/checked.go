package tpmcrypto

import (
	"hash"

	"stubtpm/vtpm/tcg"
)

// The functions of this file are for algorithms that were checked when they were
// unmarshalled: they panic where the rest of the package returns an error, which is
// then a fault of the device.

// Must panics if err is not nil.
func Must(err error) {
	if err != nil {
		panic("vtpm: internal error: " + err.Error())
	}
}

// MustHash returns a new hash of an algorithm that must be a hash.
func MustHash(alg tcg.TPMAlgID) hash.Hash {
	h := NewHash(alg)
	if h == nil {
		panic("vtpm: internal error: no such hash")
	}
	return h
}

// MustSize returns the digest size in bytes of an algorithm that must be a hash.
func MustSize(alg tcg.TPMAlgID) int {
	n := DigestSize(alg)
	if n == 0 {
		panic("vtpm: internal error: no such hash")
	}
	return n
}

// Digest returns the digest over the concatenation of parts.
func Digest(alg tcg.TPMAlgID, parts ...[]byte) []byte {
	return Sum(make([]byte, 0, MustSize(alg)), alg, parts...)
}

// MAC returns the HMAC over the concatenation of parts.
func MAC(alg tcg.TPMAlgID, key []byte, parts ...[]byte) []byte {
	return SumHMAC(make([]byte, 0, MustSize(alg)), alg, key, parts...)
}

// MustCFB encrypts or decrypts b in place; a nil iv is zero.
func MustCFB(alg tcg.TPMAlgID, key, iv, b []byte, encrypt bool) {
	Must(CFB(alg, key, iv, b, encrypt))
}

// IVSize returns the cipher's block size in bytes.
func IVSize(alg tcg.TPMAlgID) int {
	if alg == tcg.TPMAlgTDES {
		return 8
	}
	return 16
}

// ResponseCode is the response code for an error of package
func ResponseCode(err error) tcg.TPMRC {
	switch err {
	case nil:
		return tcg.TPMRCSuccess
	case ErrHash:
		return tcg.TPMRCHash
	case ErrSymmetric:
		return tcg.TPMRCSymmetric
	case ErrMode:
		return tcg.TPMRCMode
	case ErrScheme:
		return tcg.TPMRCScheme
	case ErrCurve:
		return tcg.TPMRCCurve
	case ErrPoint:
		return tcg.TPMRCECCPoint
	case ErrInfinity, ErrNoResult:
		return tcg.TPMRCNoResult
	case ErrSize:
		return tcg.TPMRCSize
	case ErrValue:
		return tcg.TPMRCValue
	case ErrBinding:
		return tcg.TPMRCBinding
	case ErrSignature:
		return tcg.TPMRCSignature
	}
	return tcg.TPMRCFailure
}

// MustSave returns the state of a running hash.
func MustSave(h Running) []byte {
	b, err := SaveHash(h.(hash.Hash))
	Must(err)
	return b
}

// Running is what hashes, HMACs and CMACs have in common.
type Running interface {
	Write([]byte) (int, error)
	Sum([]byte) []byte
}
