//go:build tamago

package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"math/big"

	"filippo.io/bigmod"
	"golang.org/x/crypto/chacha20poly1305"
)

var cryptoTests = []test{
	{"hashes", testHashes},
	{"hmac", testHMAC},
	{"hkdf", testHKDF},
	{"aes modes", testAESModes},
	{"aes gcm", testGCM},
	{"chacha20poly1305", testChaCha},
	{"rsa", testRSA},
	{"ecdsa", testECDSA},
	{"ecdsa deterministic", testRFC6979},
	{"ecdh", testECDH},
	{"ed25519", testEd25519},
	{"random", testRandom},
	{"math/big", testBig},
	{"bigmod", testBigmod},
	{"key generation", testKeyGeneration},
}

var newHash = map[string]func() hash.Hash{
	"sha1":       sha1.New,
	"sha224":     sha256.New224,
	"sha256":     sha256.New,
	"sha384":     sha512.New384,
	"sha512":     sha512.New,
	"sha512-256": sha512.New512_256,
	"sha3-256":   func() hash.Hash { return sha3.New256() },
	"sha3-384":   func() hash.Hash { return sha3.New384() },
	"sha3-512":   func() hash.Hash { return sha3.New512() },
}

// expect compares bytes with their hexadecimal form.
func expect(what string, got []byte, want string) error {
	if hex.EncodeToString(got) != want {
		return fmt.Errorf("%s: got %x, want %s", what, got, want)
	}
	return nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func unbase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// counting returns n bytes 0, 1, 2, ...
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func testHashes() error {
	for name, want := range hashes {
		h := newHash[name]()
		for i := range len(message) {
			h.Write([]byte{message[i]})
		}
		if err := expect(name, h.Sum(nil), want); err != nil {
			return err
		}
	}
	return nil
}

func testHMAC() error {
	for name, want := range hmacs {
		m := hmac.New(newHash[name], []byte("Jefe"))
		m.Write([]byte(message))
		if err := expect(name, m.Sum(nil), want); err != nil {
			return err
		}
	}
	return nil
}

// testHKDF is RFC 5869, appendix A.1.
func testHKDF() error {
	out, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{0x0b}, 22), counting(13), string(unhex("f0f1f2f3f4f5f6f7f8f9")), 42)
	if err != nil {
		return err
	}
	return expect("hkdf", out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
}

func testAESModes() error {
	iv := counting(16)
	for _, c := range []struct {
		bits          int
		cfb, ctr, cbc string
	}{{128, aes128cfb, aes128ctr, aes128cbc}, {256, aes256cfb, aes256ctr, aes256cbc}} {
		block, err := aes.NewCipher(counting(c.bits / 8))
		if err != nil {
			return err
		}
		out := make([]byte, len(message))
		cipher.NewCFBEncrypter(block, iv).XORKeyStream(out, []byte(message))
		if err := expect("cfb", out, c.cfb); err != nil {
			return err
		}
		cipher.NewCFBDecrypter(block, iv).XORKeyStream(out, out)
		if string(out) != message {
			return fmt.Errorf("cfb does not decrypt")
		}
		cipher.NewCTR(block, iv).XORKeyStream(out, []byte(message))
		if err := expect("ctr", out, c.ctr); err != nil {
			return err
		}
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, []byte(message))
		if err := expect("cbc", out, c.cbc); err != nil {
			return err
		}
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, out)
		if string(out) != message {
			return fmt.Errorf("cbc does not decrypt")
		}
	}
	return nil
}

// testGCM is test case 4 of McGrew and Viega, "The Galois/Counter Mode of
// Operation", appendix B.
func testGCM() error {
	block, err := aes.NewCipher(unhex("feffe9928665731c6d6a8f9467308308"))
	if err != nil {
		return err
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	plain := unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
	extra := unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	nonce := unhex("cafebabefacedbaddecaf888")
	out := a.Seal(nil, nonce, plain, extra)
	if err := expect("seal", out, "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"); err != nil {
		return err
	}
	out[3] ^= 1
	if _, err := a.Open(nil, nonce, out, extra); err == nil {
		return fmt.Errorf("a changed ciphertext was accepted")
	}
	return nil
}

// testChaCha is RFC 8439, section 2.8.2.
func testChaCha() error {
	key := make([]byte, 32)
	for i := range key {
		key[i] = 0x80 + byte(i)
	}
	a, err := chacha20poly1305.New(key)
	if err != nil {
		return err
	}
	plain := "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
	out := a.Seal(nil, unhex("070000004041424344454647"), []byte(plain), unhex("50515253c0c1c2c3c4c5c6c7"))
	return expect("tag", out[len(plain):], "1ae10b594f09e26a7e902ecbd0600691")
}

// testRandom finds a generator that repeats itself or is grossly biased: of 80,000
// bits, 40,000 should be set; 6 standard deviations are 850.
func testRandom() error {
	b := make([]byte, 10000)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	ones := 0
	for _, v := range b {
		for ; v != 0; v &= v - 1 {
			ones++
		}
	}
	if ones < 40000-850 || ones > 40000+850 {
		return fmt.Errorf("%d of 80000 bits are set", ones)
	}
	c := make([]byte, 10000)
	rand.Read(c)
	if subtle.ConstantTimeCompare(b, c) == 1 {
		return fmt.Errorf("the generator repeated itself")
	}
	return nil
}

// testBig: made with CPython 3.11.
func testBig() error {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 521), one)
	e := new(big.Int).Sub(new(big.Int).Lsh(one, 127), one)
	r := new(big.Int).Exp(big.NewInt(3), e, p)
	if err := expect("3^(2^127-1) mod 2^521-1", r.FillBytes(make([]byte, 66)), "00996a11a45158a990b84d6363b205309de60b465e47c71237a54f427137f3bf2eea964589932fa680342370f150b74ef56759dacd38f49e560f0bddf51c198e6a96"); err != nil {
		return err
	}
	if !p.ProbablyPrime(5) {
		return fmt.Errorf("2^521-1 is not prime")
	}
	if f := new(big.Int).MulRange(1, 60); f.String() != "8320987112741390144276341183223364380754172606361245952449277696409600000000000000" {
		return fmt.Errorf("60! = %v", f)
	}
	return nil
}

// testBigmod compares an exponentiation with math/big.
func testBigmod() error {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 521), one)
	m, err := bigmod.NewModulus(p.Bytes())
	if err != nil {
		return err
	}
	b := make([]byte, 66)
	b[65] = 3
	x, err := bigmod.NewNat().SetBytes(b, m)
	if err != nil {
		return err
	}
	e := new(big.Int).Sub(new(big.Int).Lsh(one, 127), one)
	got := bigmod.NewNat().Exp(x, e.Bytes(), m).Bytes(m)
	want := new(big.Int).Exp(big.NewInt(3), e, p).FillBytes(make([]byte, 66))
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %x, want %x", got, want)
	}
	return nil
}
