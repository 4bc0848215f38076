package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxLeaves is the number of statements that one quote of the hardware TPM can
// cover.
const MaxLeaves = 1 << 16

// MaxProof is the size in bytes of the longest Proof.
const MaxProof = 8 + 16*32

// A Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// Leaf returns the leaf of a statement. Leaves and inner nodes are hashed with
// different first bytes, as in RFC 9162, section 2.1.1, so that neither can be
// taken for the other.
func Leaf(statement []byte) Hash {
	return sha256.Sum256(append([]byte{0}, statement...))
}

func node(left, right Hash) Hash {
	b := append([]byte{1}, left[:]...)
	return sha256.Sum256(append(b, right[:]...))
}

// split returns the largest power of two below n, which is at least 2.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Root returns the root of the tree over 1 to MaxLeaves leaves
// (RFC 9162, section 2.1.1).
func Root(leaves []Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return node(Root(leaves[:k]), Root(leaves[k:]))
}

// A Proof shows that a leaf is in a tree.
type Proof struct {
	Index, Size uint32 // of the leaf, and of the tree in leaves
	Path        []Hash // siblings, that of the leaf first
}

// Prove returns the proof of the leaf with an index below len(leaves).
func Prove(leaves []Hash, index int) *Proof {
	return &Proof{Index: uint32(index), Size: uint32(len(leaves)), Path: path(leaves, index)}
}

func path(leaves []Hash, index int) []Hash {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if index < k {
		return append(path(leaves[:k], index), Root(leaves[k:]))
	}
	return append(path(leaves[k:], index-k), Root(leaves[:k]))
}

// Root returns the root that the tree has if leaf is in it where p says. It is
// an error if the path has not the length that index and size ask for.
func (p *Proof) Root(leaf Hash) (Hash, error) {
	if p.Size == 0 || p.Size > MaxLeaves || p.Index >= p.Size {
		return Hash{}, fmt.Errorf("%w: proof: leaf %d of %d", ErrFormat, p.Index, p.Size)
	}
	h, rest, ok := climb(leaf, p.Path, int(p.Index), int(p.Size))
	if !ok || len(rest) != 0 {
		return Hash{}, fmt.Errorf("%w: proof: %d hashes for leaf %d of %d", ErrFormat, len(p.Path), p.Index, p.Size)
	}
	return h, nil
}

// climb returns the root of a subtree of size leaves and what it left of path.
func climb(leaf Hash, path []Hash, index, size int) (h Hash, rest []Hash, ok bool) {
	if size == 1 {
		return leaf, path, true
	}
	k := split(size)
	left := index < k
	if left {
		h, rest, ok = climb(leaf, path, index, k)
	} else {
		h, rest, ok = climb(leaf, path, index-k, size-k)
	}
	if !ok || len(rest) == 0 {
		return Hash{}, nil, false
	}
	if left {
		return node(h, rest[0]), rest[1:], true
	}
	return node(rest[0], h), rest[1:], true
}

// Marshal returns the wire form.
func (p *Proof) Marshal() []byte {
	b := binary.BigEndian.AppendUint32(nil, p.Index)
	b = binary.BigEndian.AppendUint32(b, p.Size)
	for _, h := range p.Path {
		b = append(b, h[:]...)
	}
	return b
}

// ParseProof reads the wire form, and checks that the path has the right
// length.
func ParseProof(b []byte) (*Proof, error) {
	r := reader{b: b}
	p := &Proof{Index: r.u32(), Size: r.u32()}
	if r.bad || len(b) > MaxProof {
		return nil, fmt.Errorf("%w: proof of %d bytes", ErrFormat, len(b))
	}
	for len(r.b) > 0 && !r.bad {
		p.Path = append(p.Path, Hash(r.take(sha256.Size)))
	}
	if err := r.end("proof"); err != nil {
		return nil, err
	}
	_, err := p.Root(Hash{})
	return p, err
}
