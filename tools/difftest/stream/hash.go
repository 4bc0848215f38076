package stream

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"stubtpm/vtpm/tcg"
)

// newHash returns a hash function that both sides have, SHA-256 in place of others.
func newHash(alg tcg.TPMAlgID) hash.Hash {
	switch alg {
	case tcg.TPMAlgSHA1:
		return sha1.New()
	case tcg.TPMAlgSHA384:
		return sha512.New384()
	case tcg.TPMAlgSHA512:
		return sha512.New()
	}
	return sha256.New()
}

var hashes = []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}
