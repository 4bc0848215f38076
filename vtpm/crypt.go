package vtpm

import (
	"fmt"
	"hash"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Short names for the cryptography that the protocol parts use. The
// algorithms were checked when they were unmarshalled, so that a failure here
// is a fault of the device.


func must(err error) {
	if err != nil {
		panic("vtpm: internal error: " + err.Error())
	}
}

func newHash(alg tcg.TPMAlgID) hash.Hash {
	h := tpmcrypto.NewHash(alg)
	if h == nil {
		panic("vtpm: internal error: no such hash")
	}
	return h
}

// hashSize is the digest size in bytes of an algorithm that must be a hash.
func hashSize(alg tcg.TPMAlgID) int {
	n := tpmcrypto.DigestSize(alg)
	if n == 0 {
		panic("vtpm: internal error: no such hash")
	}
	return n
}

func digest(alg tcg.TPMAlgID, parts ...[]byte) []byte {
	return tpmcrypto.Sum(make([]byte, 0, hashSize(alg)), alg, parts...)
}

func hmacSum(alg tcg.TPMAlgID, key []byte, parts ...[]byte) []byte {
	return tpmcrypto.SumHMAC(make([]byte, 0, hashSize(alg)), alg, key, parts...)
}

// cfb encrypts or decrypts b in place; a nil iv is zero.
func cfb(alg tcg.TPMAlgID, key, iv, b []byte, encrypt bool) {
	must(tpmcrypto.CFB(alg, key, iv, b, encrypt))
}

// blockSize is the cipher's block size in bytes.
func blockSize(alg tcg.TPMAlgID) int {
	if alg == tcg.TPMAlgTDES {
		return 8
	}
	return 16
}

// cryptParameter encrypts or decrypts b, the first parameter, in place (Part
// 1, "Session-Based Encryption").
func cryptParameter(s *session, key, nonceNewer, nonceOlder, b []byte, encrypt bool) {
	defer tpmcrypto.Zero(key)
	if s.symmetric.Algorithm == tcg.TPMAlgXOR {
		must(tpmcrypto.XOR(s.hash, key, nonceNewer, nonceOlder, b))
		return
	}
	bits := int(s.symmetric.KeyBits)
	iv := blockSize(s.symmetric.Algorithm)
	k := tpmcrypto.KDFa(s.hash, key, "CFB", nonceNewer, nonceOlder, bits+8*iv)
	defer tpmcrypto.Zero(k)
	cfb(s.symmetric.Algorithm, k[:bits/8], k[bits/8:], b, encrypt)
}

// stir mixes a caller's data into the random source, if it has a way to take
// it.
func (d *Device) stir(data []byte) error {
	s, ok := d.cfg.Rand.(interface{ Stir([]byte) error })
	if !ok {
		return nil
	}
	if err := s.Stir(data); err != nil {
		return fmt.Errorf("vtpm: random source: %w", err)
	}
	return nil
}

// rcOf is the response code for an error of package tpmcrypto.
func rcOf(err error) tcg.TPMRC {
	switch err {
	case nil:
		return tcg.TPMRCSuccess
	case tpmcrypto.ErrHash:
		return tcg.TPMRCHash
	case tpmcrypto.ErrSymmetric:
		return tcg.TPMRCSymmetric
	case tpmcrypto.ErrMode:
		return tcg.TPMRCMode
	case tpmcrypto.ErrScheme:
		return tcg.TPMRCScheme
	case tpmcrypto.ErrCurve:
		return tcg.TPMRCCurve
	case tpmcrypto.ErrPoint:
		return tcg.TPMRCECCPoint
	case tpmcrypto.ErrInfinity, tpmcrypto.ErrNoResult:
		return tcg.TPMRCNoResult
	case tpmcrypto.ErrSize:
		return tcg.TPMRCSize
	case tpmcrypto.ErrValue:
		return tcg.TPMRCValue
	case tpmcrypto.ErrBinding:
		return tcg.TPMRCBinding
	case tpmcrypto.ErrSignature:
		return tcg.TPMRCSignature
	}
	return tcg.TPMRCFailure
}

// saveHash returns the state of a running hash.
func saveHash(h hasher) []byte {
	b, err := tpmcrypto.SaveHash(h.(hash.Hash))
	must(err)
	return b
}
