package ledger

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Offsets in a root, which ends with an HMAC-SHA256 over all before it.
const (
	rootVersion   = 8   // 4 bytes
	rootEpoch     = 12  // 4
	rootManager   = 16  // 16
	rootSequence  = 32  // 8
	rootMode      = 40  // 4
	rootLeaves    = 44  // 4
	rootParameter = 48  // 8: of the mode
	rootRestored  = 56  // 8
	rootBase      = 64  // 32
	rootPCRBase   = 96  // 32
	rootBoot      = 128 // 8
	rootPCR       = 136 // 4
	rootNonce     = 144 // 16
	rootMark      = 160 // 8
	rootMarkTime  = 168 // 8
	rootWrites    = 176 // 8
	rootCredit    = 184 // 8
	rootCounted   = 192 // 8
	rootDay       = 200 // 4
	rootToday     = 204 // 4
	rootYesterday = 208 // 4
	rootLoose     = 212 // 4
	rootSince     = 216 // 8
	rootHashes    = 256 // maxLeaves of hashSize
	rootTag       = rootSize - sha256.Size

	// hashSize is the size of a leaf's truncated SHA-256 in the root.
	hashSize = 24
)

// Offsets in a root of version 1 where they differ.
const (
	rootBounded1  = 40  // 8: nanoseconds; 0 is strict
	rootLeaves1   = 48  // 4
	rootRestored1 = 96  // 8
	rootHashes1   = 128 // maxLeaves of 32
)

// Numbers of the modes.
const (
	modeStrict  = 0
	modeBounded = 1
	modeBudget  = 2
)

type hash [hashSize]byte

func leafHash(b []byte) hash {
	sum := sha256.Sum256(b)
	return hash(sum[:hashSize])
}

// A root names all leaves by their hashes.
type root struct {
	version  uint32
	epoch    uint32
	sequence uint64
	mode     Mode
	base     [32]byte // value of the NV index when the root was written
	pcrBase  [32]byte // value of the PCR then; budget mode only
	boot     uint64   // reset number of the hardware TPM when its chain began
	pcr      uint32   // index of the PCR
	nonce    [16]byte
	restored uint64 // sequence of the old root that this epoch was restored from
	wear     wear
	leaves   []hash
}

// encode returns a root's only encoding.
func (r *root) encode(k *keys, manager ID) []byte {
	b := make([]byte, rootSize)
	copy(b, rootMagic)
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put32(b[rootVersion:], r.version)
	put32(b[rootEpoch:], r.epoch)
	copy(b[rootManager:], manager[:])
	put64(b[rootSequence:], r.sequence)
	copy(b[rootBase:], r.base[:])
	if r.version == version1 {
		put64(b[rootBounded1:], uint64(r.mode.Bounded))
		put32(b[rootLeaves1:], uint32(len(r.leaves)))
		put64(b[rootRestored1:], r.restored)
		return b // parse1 checks hashes and tag
	}
	kind, parameter := r.mode.Numbers()
	put32(b[rootMode:], kind)
	put64(b[rootParameter:], parameter)
	put32(b[rootLeaves:], uint32(len(r.leaves)))
	put64(b[rootRestored:], r.restored)
	copy(b[rootPCRBase:], r.pcrBase[:])
	put64(b[rootBoot:], r.boot)
	put32(b[rootPCR:], r.pcr)
	copy(b[rootNonce:], r.nonce[:])
	r.wear.encode(b)
	for i, h := range r.leaves {
		copy(b[rootHashes+i*hashSize:], h[:])
	}
	m := hmac.New(sha256.New, k.mac)
	m.Write(b[:rootTag])
	m.Sum(b[:rootTag])
	return b
}

// parseRoot decodes a root and verifies its tag. Its errors are those of Open.
func parseRoot(b []byte, k *keys, manager ID) (*root, error) {
	if len(b) != rootSize {
		return nil, fmt.Errorf("%w: root has %d bytes", ErrDamaged, len(b))
	}
	if isZero(b) {
		return nil, ErrBlank
	}
	if string(b[:8]) != rootMagic {
		return nil, fmt.Errorf("%w: not a root", ErrDamaged)
	}
	// Before the tag, which later versions may compute in another way.
	v := binary.BigEndian.Uint32(b[rootVersion:])
	if v != version && v != version1 {
		return nil, fmt.Errorf("%w %d, want %d or %d", ErrVersion, v, version1, version)
	}
	if ID(b[rootManager:]) != manager {
		return nil, ErrForeign
	}
	m := hmac.New(sha256.New, k.mac)
	m.Write(b[:rootTag])
	if !hmac.Equal(m.Sum(nil), b[rootTag:]) {
		return nil, fmt.Errorf("%w: root does not authenticate", ErrDamaged)
	}
	r := &root{
		version:  v,
		epoch:    binary.BigEndian.Uint32(b[rootEpoch:]),
		sequence: binary.BigEndian.Uint64(b[rootSequence:]),
		base:     [32]byte(b[rootBase:]),
	}
	ok := r.sequence < deletedBit
	if v == version1 {
		ok = ok && r.parse1(b, k, manager)
	} else {
		ok = ok && r.parse2(b, k, manager)
	}
	if !ok {
		return nil, fmt.Errorf("%w: root is malformed", ErrDamaged)
	}
	return r, nil
}

// parse2 decodes the fields of version 2, and reports whether b is exactly what encode
// writes.
func (r *root) parse2(b []byte, k *keys, manager ID) bool {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	n := get32(b[rootLeaves:])
	mode, ok := ModeOf(get32(b[rootMode:]), get64(b[rootParameter:]))
	if n > maxLeaves || !ok {
		return false
	}
	r.mode = mode
	r.pcrBase, r.boot, r.pcr = [32]byte(b[rootPCRBase:]), get64(b[rootBoot:]), get32(b[rootPCR:])
	r.nonce, r.restored = [16]byte(b[rootNonce:]), get64(b[rootRestored:])
	r.wear.decode(b)
	r.leaves = make([]hash, n)
	for i := range r.leaves {
		copy(r.leaves[i][:], b[rootHashes+hashSize*i:])
	}
	return bytes.Equal(r.encode(k, manager), b)
}

// parse1 decodes the fields of version 1.
func (r *root) parse1(b []byte, k *keys, manager ID) bool {
	n := binary.BigEndian.Uint32(b[rootLeaves1:])
	r.mode.Bounded = time.Duration(binary.BigEndian.Uint64(b[rootBounded1:]))
	r.restored = binary.BigEndian.Uint64(b[rootRestored1:])
	if n > maxLeaves || r.mode.Bounded < 0 {
		return false
	}
	r.leaves = make([]hash, n)
	end := rootHashes1 + 32*int(n)
	for i := range r.leaves {
		copy(r.leaves[i][:], b[rootHashes1+32*i:])
	}
	// All but the hashes must be as encoded, with zeros after the last hash.
	if !bytes.Equal(r.encode(k, manager)[:rootHashes1], b[:rootHashes1]) || !isZero(b[end:rootTag]) {
		return false
	}
	r.wear = wear{mark: r.sequence, writes: r.sequence}
	return true
}
