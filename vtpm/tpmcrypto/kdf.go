package tpmcrypto

import (
	"encoding/binary"

	"stubtpm/vtpm/tcg"
)

// labelEnd returns the zero octet that closes a label, or nothing if the label
// brings it along (Part 1, 8.4.10.2).
func labelEnd(label string) []byte {
	if len(label) > 0 && label[len(label)-1] == 0 {
		return nil
	}
	return []byte{0}
}

// mask clears the bits of the first octet that a result of that many bits does
// not use.
func mask(out []byte, bits int) []byte {
	if r := bits % 8; r != 0 && len(out) > 0 {
		out[0] &= 1<<r - 1
	}
	return out
}

// KDFa is the counter mode KDF of SP 800-108 with HMAC (Part 1, 8.4.10.2). It
// returns (bits+7)/8 octets, unused bits of the first being zero. The label
// needs no zero octet at its end, and may have one. It returns nil if alg is
// not supported or bits is negative.
func KDFa(alg tcg.TPMAlgID, key []byte, label string, contextU, contextV []byte, bits int) []byte {
	if bits < 0 {
		return nil
	}
	s := NewKDFaStream(alg, key, label, contextU, contextV, bits)
	if s == nil {
		return nil
	}
	out := make([]byte, (bits+7)/8)
	s.Read(out)
	return mask(out, bits)
}

// A KDFaStream gives out the octets of one KDFa call bit by bit, without end.
// It is the entropy of derived objects (Part 1, 25.4), where bits is 8192
// whatever is taken.
type KDFaStream struct {
	alg     tcg.TPMAlgID
	key     []byte
	label   string
	context []byte
	bits    uint32
	counter uint32
	rest    []byte
	digest  [MaxDigest]byte
}

// NewKDFaStream returns the stream of KDFa(alg, key, label, contextU,
// contextV, bits), or nil if alg is not supported. It keeps key, not a copy.
func NewKDFaStream(alg tcg.TPMAlgID, key []byte, label string, contextU, contextV []byte, bits int) *KDFaStream {
	if !HasHash(alg) {
		return nil
	}
	context := append(append([]byte(nil), contextU...), contextV...)
	return &KDFaStream{alg: alg, key: key, label: label, context: context, bits: uint32(bits)}
}

// Read fills p. It never fails.
func (s *KDFaStream) Read(p []byte) (int, error) {
	n := len(p)
	for {
		c := copy(p, s.rest)
		s.rest, p = s.rest[c:], p[c:]
		if len(p) == 0 {
			return n, nil
		}
		s.counter++
		var i, l [4]byte
		binary.BigEndian.PutUint32(i[:], s.counter)
		binary.BigEndian.PutUint32(l[:], s.bits)
		s.rest = SumHMAC(s.digest[:0], s.alg, s.key,
			i[:], []byte(s.label), labelEnd(s.label), s.context, l[:])
	}
}

// KDFe is the KDF for ECDH, of SP 800-56C (Part 1, 8.4.10.3). It returns
// (bits+7)/8 octets, unused bits of the first being zero, or nil if alg is not
// supported or bits is negative. z, partyU and partyV are x-coordinates padded
// to the size of the curve.
func KDFe(alg tcg.TPMAlgID, z []byte, label string, partyU, partyV []byte, bits int) []byte {
	if !HasHash(alg) || bits < 0 {
		return nil
	}
	size := (bits + 7) / 8
	var out []byte
	for counter := uint32(1); len(out) < size; counter++ {
		var i [4]byte
		binary.BigEndian.PutUint32(i[:], counter)
		out = Sum(out, alg, i[:], z, []byte(label), labelEnd(label), partyU, partyV)
	}
	return mask(out[:size:size], bits)
}

// MGF1 returns n octets of the mask that RFC 8017, B.2.1 makes of a seed, or
// nil if alg is not supported or n is negative.
func MGF1(alg tcg.TPMAlgID, seed []byte, n int) []byte {
	return countedHash(alg, seed, nil, 0, n)
}

// KDF2 is the KDF of ISO/IEC 18033-2 and IEEE 1363a that TPM_ALG_KDF2 names:
// MGF1 with the counter from 1 and shared information behind it.
func KDF2(alg tcg.TPMAlgID, z, info []byte, n int) []byte {
	return countedHash(alg, z, info, 1, n)
}

func countedHash(alg tcg.TPMAlgID, seed, info []byte, counter uint32, n int) []byte {
	if !HasHash(alg) || n < 0 {
		return nil
	}
	out := make([]byte, 0, n+MaxDigest)
	for ; len(out) < n; counter++ {
		var i [4]byte
		binary.BigEndian.PutUint32(i[:], counter)
		out = Sum(out, alg, seed, i[:], info)
	}
	return out[:n:n]
}

// XOR applies XOR obfuscation to data in place (Part 1, 8.4.7.3). ErrHash if
// alg is not supported.
func XOR(alg tcg.TPMAlgID, key, contextU, contextV, data []byte) error {
	m := KDFa(alg, key, "XOR", contextU, contextV, len(data)*8)
	if m == nil {
		return ErrHash
	}
	for i := range data {
		data[i] ^= m[i]
	}
	return nil
}
