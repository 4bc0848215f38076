package tpmcrypto

import "stubtpm/vtpm/tcg"

// The key and the first two blocks of plaintext of SP 800-38A, appendix F, for
// AES-128, and the first vector and the ciphertext of each mode.
const (
	katKey   = "2b7e151628aed2a6abf7158809cf4f3c"
	katPlain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
)

var katModes = map[tcg.TPMAlgID]struct{ iv, cipher string }{
	tcg.TPMAlgCTR: {"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"},
	tcg.TPMAlgOFB: {"000102030405060708090a0b0c0d0e0f", "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825"},
	tcg.TPMAlgCBC: {"000102030405060708090a0b0c0d0e0f", "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"},
	tcg.TPMAlgCFB: {"000102030405060708090a0b0c0d0e0f", "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"},
	tcg.TPMAlgECB: {"", "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"},
}

// katMode tests one mode in both directions.
func katMode(mode tcg.TPMAlgID) error {
	v := katModes[mode]
	b, err := NewCipher(tcg.TPMAlgAES, fromHex(katKey))
	if err != nil {
		return err
	}
	data := fromHex(katPlain)
	if err := Crypt(b, mode, fromHex(v.iv), data, data, true); err != nil {
		return err
	}
	if err := known(v.cipher, data); err != nil {
		return err
	}
	if err := Crypt(b, mode, fromHex(v.iv), data, data, false); err != nil {
		return err
	}
	return known(katPlain, data)
}

// katBlock encrypts and decrypts one block.
func katBlock(alg tcg.TPMAlgID, key, plain, cipher string) error {
	b, err := NewCipher(alg, fromHex(key))
	if err != nil {
		return err
	}
	data := fromHex(plain)
	b.Encrypt(data, data)
	if err := known(cipher, data); err != nil {
		return err
	}
	b.Decrypt(data, data)
	return known(plain, data)
}

// katAES is FIPS 197, appendix C: one block with each size of key.
func katAES() error {
	const plain = "00112233445566778899aabbccddeeff"
	const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for n, cipher := range map[int]string{
		16: "69c4e0d86a7b0430d8cdb78070b4c55a",
		24: "dda97ca4864cdfe06eaf70a0ec0d7191",
		32: "8ea2b7ca516745bfeafc49904b496089",
	} {
		if err := katBlock(tcg.TPMAlgAES, key[:2*n], plain, cipher); err != nil {
			return err
		}
	}
	return nil
}

// katTDES is the first block of SP 800-67, appendix B.
func katTDES() error {
	return katBlock(tcg.TPMAlgTDES, "0123456789abcdef23456789abcdef01456789abcdef0123",
		"5468652071756663", "a826fd8ce53b855f")
}

// katCamellia is RFC 3713, appendix A, for the shortest and the longest key.
func katCamellia() error {
	const key = "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff"
	if err := katBlock(tcg.TPMAlgCamellia, key[:32], key[:32], "67673138549669730857065648eabe43"); err != nil {
		return err
	}
	return katBlock(tcg.TPMAlgCamellia, key, key[:32], "9acc237dff16d76c20ef7c919e3a7509")
}

// katCMAC is example 3 of RFC 4493.
func katCMAC() error {
	m, err := NewCMAC(tcg.TPMAlgAES, fromHex(katKey))
	if err != nil {
		return err
	}
	m.Write(fromHex(katPlain))
	m.Write(fromHex("30c81c46a35ce411"))
	return known("dfa66747de9ae63030ca32611497c827", m.Sum(nil))
}
