package tpmcrypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/camellia"
)

// MaxCipherBlock is the size in bytes of the largest cipher block here.
const MaxCipherBlock = 16

// CipherBlockSize returns the size of alg's block in bytes if alg with keys of
// keyBits is supported, and 0 otherwise.
func CipherBlockSize(alg tcg.TPMAlgID, keyBits int) int {
	switch {
	case alg == tcg.TPMAlgAES && (keyBits == 128 || keyBits == 192 || keyBits == 256):
		return aes.BlockSize
	case alg == tcg.TPMAlgCamellia && (keyBits == 128 || keyBits == 192 || keyBits == 256):
		return camellia.BlockSize
	case alg == tcg.TPMAlgTDES && (keyBits == 128 || keyBits == 192):
		return des.BlockSize
	case HasSM && alg == tcg.TPMAlgSM4 && keyBits == 128:
		return 16
	}
	return 0
}

// NewCipher returns the block cipher alg under key. The length of the key
// decides its variant: AES and Camellia with 16, 24 or 32 octets; TDES with
// 16 (two keys) or 24; SM4 with 16. ErrSymmetric for anything else.
func NewCipher(alg tcg.TPMAlgID, key []byte) (cipher.Block, error) {
	if CipherBlockSize(alg, len(key)*8) == 0 {
		return nil, ErrSymmetric
	}
	switch alg {
	case tcg.TPMAlgAES:
		return aes.NewCipher(key)
	case tcg.TPMAlgCamellia:
		return camellia.New(key)
	case tcg.TPMAlgSM4:
		return newSM4(key)
	case tcg.TPMAlgTDES:
		if len(key) == 16 {
			var k [24]byte
			copy(k[:], key)
			copy(k[16:], key[:8])
			key = k[:]
		}
		return des.NewTripleDESCipher(key)
	}
	return nil, ErrSymmetric
}

// GoodKey reports whether key may be used with alg. Only TDES has weak keys:
// those of whose single keys one is weak or semi-weak, or two are equal
// (SP 800-67, 3.3.2), parity aside.
func GoodKey(alg tcg.TPMAlgID, key []byte) bool {
	return alg != tcg.TPMAlgTDES || goodTDES(key)
}

// Crypt encrypts or decrypts src into dst, which may be the same slice, with
// the modes and parameters of Part 1, Table 7. iv is changed to what
// continues the stream, as TPM2_EncryptDecrypt returns it: the last block of
// ciphertext for CFB (filled up with zeros if it is short) and CBC, the last
// block of key stream for OFB, the next counter for CTR. ECB has no iv.
//
// ErrSize: iv is not one block long, dst is shorter than src, or src is no
// whole number of blocks in CBC or ECB. ErrMode: no such mode.
func Crypt(b cipher.Block, mode tcg.TPMAlgID, iv, dst, src []byte, encrypt bool) error {
	n := b.BlockSize()
	if len(dst) < len(src) {
		return ErrSize
	}
	dst = dst[:len(src)]
	switch mode {
	case tcg.TPMAlgCBC, tcg.TPMAlgECB:
		if len(src)%n != 0 {
			return ErrSize
		}
	case tcg.TPMAlgCFB, tcg.TPMAlgOFB, tcg.TPMAlgCTR:
	default:
		return ErrMode
	}
	if mode == tcg.TPMAlgECB {
		if len(iv) != 0 {
			return ErrSize
		}
		ecb(b, dst, src, encrypt)
		return nil
	}
	if len(iv) != n {
		return ErrSize
	}
	if len(src) == 0 {
		return nil
	}
	switch mode {
	case tcg.TPMAlgCFB:
		cfb(b, iv, dst, src, encrypt)
	case tcg.TPMAlgOFB:
		ofb(b, iv, dst, src)
	case tcg.TPMAlgCTR:
		cipher.NewCTR(b, iv).XORKeyStream(dst, src)
		addCounter(iv, (len(src)+n-1)/n)
	case tcg.TPMAlgCBC:
		if encrypt {
			cipher.NewCBCEncrypter(b, iv).CryptBlocks(dst, src)
			copy(iv, dst[len(dst)-n:])
		} else {
			var last [MaxCipherBlock]byte
			copy(last[:], src[len(src)-n:])
			cipher.NewCBCDecrypter(b, iv).CryptBlocks(dst, src)
			copy(iv, last[:])
		}
	}
	return nil
}

// cfb is written out, since the library's is deprecated and does not tell the
// value that continues the stream.
func cfb(b cipher.Block, iv, dst, src []byte, encrypt bool) {
	n := b.BlockSize()
	var stream [MaxCipherBlock]byte
	for len(src) > 0 {
		b.Encrypt(stream[:n], iv)
		if encrypt {
			c := subtle.XORBytes(dst, src, stream[:n])
			clear(iv[copy(iv, dst[:c]):])
			dst, src = dst[c:], src[c:]
		} else {
			// The ciphertext is taken first, as dst may be src.
			c := copy(iv, src)
			clear(iv[c:])
			subtle.XORBytes(dst, src[:c], stream[:c])
			dst, src = dst[c:], src[c:]
		}
	}
	clear(stream[:])
}

func ofb(b cipher.Block, iv, dst, src []byte) {
	for len(src) > 0 {
		b.Encrypt(iv, iv)
		c := subtle.XORBytes(dst, src, iv)
		dst, src = dst[c:], src[c:]
	}
}

func ecb(b cipher.Block, dst, src []byte, encrypt bool) {
	n := b.BlockSize()
	for ; len(src) > 0; dst, src = dst[n:], src[n:] {
		if encrypt {
			b.Encrypt(dst, src)
		} else {
			b.Decrypt(dst, src)
		}
	}
}

// addCounter adds n to the big-endian number in ctr, modulo its size.
func addCounter(ctr []byte, n int) {
	for i := len(ctr) - 1; i >= 0 && n > 0; i-- {
		n += int(ctr[i])
		ctr[i] = byte(n)
		n >>= 8
	}
}

// CFB encrypts or decrypts data in place in CFB mode, the form that parameter
// encryption and the wrapping of sensitive areas use. A nil iv stands for one
// of zeros; iv is not changed. ErrSymmetric if alg does not take that key,
// ErrSize if iv is not one block long.
func CFB(alg tcg.TPMAlgID, key, iv, data []byte, encrypt bool) error {
	b, err := NewCipher(alg, key)
	if err != nil {
		return err
	}
	var v [MaxCipherBlock]byte
	if iv != nil && len(iv) != b.BlockSize() {
		return ErrSize
	}
	copy(v[:], iv)
	cfb(b, v[:b.BlockSize()], data, data, encrypt)
	return nil
}
