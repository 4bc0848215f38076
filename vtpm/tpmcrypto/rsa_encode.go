package tpmcrypto

import (
	"crypto/subtle"

	"stubtpm/vtpm/tcg"
)

// digestInfo returns the DER in front of a digest in RSASSA-PKCS1-v1_5 (RFC
// 8017, 9.2, note 1; FIPS 202 for SHA-3, GM/T 0006 for SM3), or nil for an algorithm without one.
func digestInfo(alg tcg.TPMAlgID) []byte {
	id := map[tcg.TPMAlgID]byte{
		tcg.TPMAlgSHA256: 1, tcg.TPMAlgSHA384: 2, tcg.TPMAlgSHA512: 3,
		tcg.TPMAlgSHA3256: 8, tcg.TPMAlgSHA3384: 9, tcg.TPMAlgSHA3512: 10,
	}[alg]
	n := byte(DigestSize(alg))
	switch {
	case alg == tcg.TPMAlgSM3256: // 1.2.156.10197.1.401
		return []byte{0x30, 0x30, 0x30, 12, 6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x11, 5, 0, 4, 32}
	case alg == tcg.TPMAlgSHA1:
		return []byte{0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 20}
	case id == 0:
		return nil
	}
	// 2.16.840.1.101.3.4.2.id
	return []byte{0x30, 17 + n, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, id, 5, 0, 4, n}
}

// encodePKCS1v15 is EMSA-PKCS1-v1_5 (RFC 8017, 9.2) in size octets. ErrHash, or
// ErrSize if it does not fit.
func encodePKCS1v15(alg tcg.TPMAlgID, digest []byte, size int) ([]byte, error) {
	info := digestInfo(alg)
	if info == nil {
		return nil, ErrHash
	}
	fill := size - 3 - len(info) - len(digest)
	if fill < 8 {
		return nil, ErrSize
	}
	em := make([]byte, 0, size)
	em = append(em, 0, 1)
	for range fill {
		em = append(em, 0xff)
	}
	em = append(em, 0)
	return append(append(em, info...), digest...), nil
}

// encodePSS is EMSA-PSS (RFC 8017, 9.1.1) for a modulus of size octets, whose
// highest bit is set. ErrSize if digest and salt do not fit.
func encodePSS(alg tcg.TPMAlgID, digest, salt []byte, size int) ([]byte, error) {
	dbLen := size - len(digest) - 1
	if dbLen < len(salt)+1 {
		return nil, ErrSize
	}
	h := Sum(nil, alg, make([]byte, 8), digest, salt) // steps 5 and 6
	em := make([]byte, size)
	db := em[:dbLen]
	db[dbLen-len(salt)-1] = 1 // steps 7 and 8
	copy(db[dbLen-len(salt):], salt)
	for i, b := range MGF1(alg, h, dbLen) { // steps 9 and 10
		db[i] ^= b
	}
	db[0] &= 0x7f // step 11
	copy(em[dbLen:], h)
	em[size-1] = 0xbc
	return em, nil
}

// saltPSS finds the salt in an encoding of encodePSS, which is spoiled. It
// checks only what it needs to: whoever has the salt encodes again.
func saltPSS(alg tcg.TPMAlgID, em []byte) ([]byte, error) {
	dbLen := len(em) - DigestSize(alg) - 1
	if dbLen < 1 {
		return nil, ErrSignature
	}
	db := em[:dbLen]
	subtle.XORBytes(db, db, MGF1(alg, em[dbLen:len(em)-1], dbLen))
	db[0] &= 0x7f
	for i, b := range db {
		if b == 1 {
			return db[i+1:], nil
		}
	}
	return nil, ErrSignature
}

// decodeOAEP reverses EME-OAEP (RFC 8017, 7.1.2, step 3), in constant time but
// for whether it succeeds and the length of the message. It overwrites em.
// ErrValue.
func decodeOAEP(alg tcg.TPMAlgID, label, em []byte) ([]byte, error) {
	n := DigestSize(alg)
	if len(em) < 2*n+2 {
		return nil, ErrValue
	}
	seed, db := em[1:1+n], em[1+n:]
	subtle.XORBytes(seed, seed, MGF1(alg, db, len(seed)))
	subtle.XORBytes(db, db, MGF1(alg, seed, len(db)))
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeCompare(db[:n], Sum(nil, alg, label))
	found, at := 0, 0
	for i, b := range db[n:] {
		zero, one := subtle.ConstantTimeByteEq(b, 0), subtle.ConstantTimeByteEq(b, 1)
		at = subtle.ConstantTimeSelect(one&^found, i, at)
		good &= zero | one | found
		found |= one
	}
	if good&found != 1 {
		return nil, ErrValue
	}
	return append([]byte(nil), db[n+at+1:]...), nil
}

// decodePKCS1v15 reverses EME-PKCS1-v1_5 (RFC 8017, 7.2.2, step 3) in the same
// way. ErrValue.
func decodePKCS1v15(em []byte) ([]byte, error) {
	const first = 2 + 8 // at least 8 octets of padding
	if len(em) < first+1 {
		return nil, ErrValue
	}
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(em[1], 2)
	found, at := 0, 0
	for i, b := range em[2:] {
		zero := subtle.ConstantTimeByteEq(b, 0)
		at = subtle.ConstantTimeSelect(zero&^found, i+2, at)
		found |= zero
	}
	good &= found & subtle.ConstantTimeLessOrEq(first, at)
	if good != 1 {
		return nil, ErrValue
	}
	return append([]byte(nil), em[at+1:]...), nil
}
