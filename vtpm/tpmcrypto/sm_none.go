//go:build nosm

package tpmcrypto

import (
	"crypto/cipher"
	"hash"
	"io"

	"stubtpm/vtpm/tcg"
)

// HasSM reports whether this build has SM2, SM3 and SM4.
const HasSM = false

func newSM3() hash.Hash { return nil }

func sumSM3([]byte, []byte) []byte { return nil }

func newSM4([]byte) (cipher.Block, error) { return nil, ErrSymmetric }

func katsSM() []KAT { return nil }

// SignSM2 and VerifySM2 return ErrScheme in this build.

func (k *ECCPrivate) SignSM2(io.Reader, []byte) (ECCSignature, error) {
	return ECCSignature{}, ErrScheme
}

func (k *ECCPublic) VerifySM2([]byte, ECCSignature) error { return ErrScheme }

// SM2ID is not called in this build: no key has the scheme.
func (k *ECCPublic) SM2ID(tcg.TPMAlgID, []byte) []byte { return nil }
