//go:build !nosm

package tpmcrypto

import (
	"crypto/cipher"
	"hash"

	"stubtpm/vtpm/tpmcrypto/sm"
)

// HasSM reports whether this build has SM2, SM3 and SM4. The build tag nosm
// leaves them out.
const HasSM = true

func newSM3() hash.Hash { return sm.NewSM3() }

func sumSM3(dst, b []byte) []byte { return sm.SumSM3(dst, b) }

func newSM4(key []byte) (cipher.Block, error) { return sm.NewSM4(key) }
