package tpmcrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"stubtpm/vtpm/tcg"
)

var modes = []tcg.TPMAlgID{tcg.TPMAlgCTR, tcg.TPMAlgOFB, tcg.TPMAlgCBC, tcg.TPMAlgCFB, tcg.TPMAlgECB}

const (
	sp38aKey   = "2b7e151628aed2a6abf7158809cf4f3c"
	sp38aIV    = "000102030405060708090a0b0c0d0e0f"
	sp38aPlain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
)

// NIST SP 800-38A, appendix F, AES-128, first two blocks of each mode.
func TestModesSP80038A(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		mode       tcg.TPMAlgID
		iv, cipher string
		ivOut      string
	}{
		{tcg.TPMAlgECB, "", "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf", ""},
		{tcg.TPMAlgCBC, sp38aIV, "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2", "5086cb9b507219ee95db113a917678b2"},
		{tcg.TPMAlgCFB, sp38aIV, "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b", "c8a64537a0b3a93fcde3cdad9f1ce58b"},
		{tcg.TPMAlgOFB, sp38aIV, "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825", "d9a4dada0892239f6b8b3d7680e15674"},
		{tcg.TPMAlgCTR, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff", "f0f1f2f3f4f5f6f7f8f9fafbfcfdff01"},
	} {
		b, err := NewCipher(tcg.TPMAlgAES, unhex(t, sp38aKey))
		if err != nil {
			t.Fatal(err)
		}
		iv, data := unhex(t, v.iv), unhex(t, sp38aPlain)
		if err := Crypt(b, v.mode, iv, data, data, true); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, unhex(t, v.cipher)) || !bytes.Equal(iv, unhex(t, v.ivOut)) {
			t.Errorf("%#x: %x, iv %x", v.mode, data, iv)
		}
		iv = unhex(t, v.iv)
		if err := Crypt(b, v.mode, iv, data, data, false); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, unhex(t, sp38aPlain)) || !bytes.Equal(iv, unhex(t, v.ivOut)) {
			t.Errorf("%#x: decrypts to %x, iv %x", v.mode, data, iv)
		}
	}
}

type cipherCase struct {
	alg tcg.TPMAlgID
	key int
}

func cipherCases() (out []cipherCase) {
	for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgTDES, tcg.TPMAlgAES, tcg.TPMAlgSM4, tcg.TPMAlgCamellia} {
		for _, bits := range []int{128, 192, 256} {
			if CipherBlockSize(alg, bits) > 0 {
				out = append(out, cipherCase{alg, bits / 8})
			}
		}
	}
	return out
}

// Every cipher in every mode and length against the standard library's modes,
// in place and not, in one piece and continued by the iv that comes out.
func TestModesAgainstStandard(t *testing.T) {
	t.Parallel()
	if len(cipherCases()) < 5 {
		t.Fatal("ciphers are missing")
	}
	for _, cc := range cipherCases() {
		key := Sum(nil, tcg.TPMAlgSHA512, []byte("key"))[:cc.key]
		b, err := NewCipher(cc.alg, key)
		if err != nil {
			t.Fatal(err)
		}
		bs := b.BlockSize()
		if bs != CipherBlockSize(cc.alg, cc.key*8) {
			t.Errorf("%#x: block of %d", cc.alg, bs)
		}
		plain := Sum(Sum(nil, tcg.TPMAlgSHA512, []byte("1")), tcg.TPMAlgSHA512, []byte("2"))
		iv0 := bytes.Repeat([]byte{0xff}, bs)
		for n := 0; n <= len(plain); n++ {
			for _, mode := range modes {
				iv := bytes.Clone(iv0)
				if mode == tcg.TPMAlgECB {
					iv = nil
				}
				got := make([]byte, n)
				err := Crypt(b, mode, iv, got, plain[:n], true)
				if whole := mode == tcg.TPMAlgCBC || mode == tcg.TPMAlgECB; whole && n%bs != 0 {
					if err != ErrSize {
						t.Errorf("%#x %#x %d: %v", cc.alg, mode, n, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				want := bytes.Clone(plain[:n])
				switch mode {
				case tcg.TPMAlgCFB:
					cipher.NewCFBEncrypter(b, iv0).XORKeyStream(want, want)
				case tcg.TPMAlgOFB:
					cipher.NewOFB(b, iv0).XORKeyStream(want, want)
				case tcg.TPMAlgCTR:
					cipher.NewCTR(b, iv0).XORKeyStream(want, want)
				case tcg.TPMAlgCBC:
					cipher.NewCBCEncrypter(b, iv0).CryptBlocks(want, want)
				default:
					for i := 0; i < n; i += bs {
						b.Encrypt(want[i:], want[i:])
					}
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("%#x %#x %d: %x, want %x", cc.alg, mode, n, got, want)
				}
				// In two pieces, the first of whole blocks, in place.
				cut := n / 2 / bs * bs
				pieces, iv2 := bytes.Clone(plain[:n]), bytes.Clone(iv0)
				if mode == tcg.TPMAlgECB {
					iv2 = nil
				}
				Crypt(b, mode, iv2, pieces[:cut], pieces[:cut], true)
				Crypt(b, mode, iv2, pieces[cut:], pieces[cut:], true)
				if !bytes.Equal(pieces, want) || !bytes.Equal(iv, iv2) {
					t.Fatalf("%#x %#x %d: continued %x, iv %x, want %x", cc.alg, mode, n, pieces, iv2, iv)
				}
				if mode != tcg.TPMAlgECB {
					copy(iv2, iv0)
				}
				if err := Crypt(b, mode, iv2, pieces, pieces, false); err != nil || !bytes.Equal(pieces, plain[:n]) || !bytes.Equal(iv, iv2) {
					t.Fatalf("%#x %#x %d: decrypts to %x, iv %x", cc.alg, mode, n, pieces, iv2)
				}
			}
		}
		data := bytes.Clone(plain[:37])
		if err := CFB(cc.alg, key, nil, data, true); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(plain[:37])
		cipher.NewCFBEncrypter(b, make([]byte, bs)).XORKeyStream(want, want)
		if !bytes.Equal(data, want) {
			t.Errorf("%#x: CFB with no iv", cc.alg)
		}
		if CFB(cc.alg, key, iv0, data, false) != nil || CFB(cc.alg, key, iv0[1:], data, false) != ErrSize {
			t.Errorf("%#x: CFB", cc.alg)
		}
	}
}

// The iv after a short last block of CFB is that block, filled with zeros.
func TestShortCFB(t *testing.T) {
	t.Parallel()
	b, _ := aes.NewCipher(make([]byte, 16))
	iv, data := make([]byte, 16), make([]byte, 21)
	Crypt(b, tcg.TPMAlgCFB, iv, data, data, true)
	if !bytes.Equal(iv[:5], data[16:]) || !bytes.Equal(iv[5:], make([]byte, 11)) {
		t.Errorf("iv %x after %x", iv, data)
	}
}

func TestBadCiphers(t *testing.T) {
	t.Parallel()
	for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgNull, tcg.TPMAlgAES, tcg.TPMAlgTDES, tcg.TPMAlgCamellia, tcg.TPMAlgSM4} {
		for _, n := range []int{0, 1, 8, 15, 17, 31, 33, 64} {
			if _, err := NewCipher(alg, make([]byte, n)); err != ErrSymmetric {
				t.Errorf("%#x with %d octets: %v", alg, n, err)
			}
		}
	}
	b, _ := NewCipher(tcg.TPMAlgAES, make([]byte, 16))
	buf := make([]byte, 16)
	if Crypt(b, tcg.TPMAlgNull, buf, buf, buf, true) != ErrMode ||
		Crypt(b, tcg.TPMAlgCFB, buf[1:], buf, buf, true) != ErrSize ||
		Crypt(b, tcg.TPMAlgECB, buf, buf, buf, true) != ErrSize ||
		Crypt(b, tcg.TPMAlgCFB, buf, buf[1:], buf, true) != ErrSize {
		t.Error("bad arguments accepted")
	}
}

func TestTDESKeys(t *testing.T) {
	t.Parallel()
	weak := unhex(t, "0101010101010101")
	semi := unhex(t, "01fe01fe01fe01fe") // with parity
	a, b, c := unhex(t, "0123456789abcdef"), unhex(t, "23456789abcdef01"), unhex(t, "456789abcdef0123")
	join := func(k ...[]byte) []byte { return bytes.Join(k, nil) }
	for _, k := range [][]byte{join(a, b, c), join(a, b)} {
		if !GoodKey(tcg.TPMAlgTDES, k) {
			t.Errorf("%x refused", k)
		}
	}
	parity := bytes.Clone(a)
	parity[7] ^= 1
	for _, k := range [][]byte{join(a, b, weak), join(semi, b, c), join(a, a, b), join(a, b, b), join(a, b, a), join(a, a), join(a, parity), a, nil} {
		if GoodKey(tcg.TPMAlgTDES, k) {
			t.Errorf("%x accepted", k)
		}
	}
	if !GoodKey(tcg.TPMAlgAES, make([]byte, 16)) {
		t.Error("AES has no weak keys")
	}
	k := []byte{0x00, 0x01, 0x02, 0x03, 0xff, 0xfe}
	SetParity(k)
	if !bytes.Equal(k, []byte{0x01, 0x01, 0x02, 0x02, 0xfe, 0xfe}) {
		t.Errorf("SetParity = %x", k)
	}
}

// RFC 4493, section 4, and NIST SP 800-38B's updated examples for AES-256 and
// three-key TDES.
func TestCMAC(t *testing.T) {
	t.Parallel()
	msg := unhex(t, sp38aPlain+"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for _, v := range []struct {
		alg  tcg.TPMAlgID
		key  string
		n    int
		code string
	}{
		{tcg.TPMAlgAES, sp38aKey, 0, "bb1d6929e95937287fa37d129b756746"},
		{tcg.TPMAlgAES, sp38aKey, 16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{tcg.TPMAlgAES, sp38aKey, 40, "dfa66747de9ae63030ca32611497c827"},
		{tcg.TPMAlgAES, sp38aKey, 64, "51f0bebf7e3b9d92fc49741779363cfe"},
		{tcg.TPMAlgAES, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 0, "028962f61b7bf89efc6b551f4667d983"},
		{tcg.TPMAlgAES, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 40, "aaf3d8f1de5640c232f5b169b9c911e6"},
		{tcg.TPMAlgTDES, "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5", 0, "b7a688e122ffaf95"},
		{tcg.TPMAlgTDES, "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5", 8, "8e8f293136283797"},
		{tcg.TPMAlgTDES, "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5", 20, "743ddbe0ce2dc2ed"},
	} {
		key, want := unhex(t, v.key), unhex(t, v.code)
		for cut := 0; cut <= v.n; cut++ {
			m, err := NewCMAC(v.alg, key)
			if err != nil {
				t.Fatal(err)
			}
			m.Write(msg[:cut])
			if m, err = RestoreCMAC(v.alg, key, m.Save()); err != nil {
				t.Fatal(err)
			}
			m.Write(msg[cut:v.n])
			if got := m.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("%#x, %d octets cut at %d: %x", v.alg, v.n, cut, got)
			}
		}
	}
	if _, err := NewCMAC(tcg.TPMAlgNull, nil); err != ErrSymmetric {
		t.Error(err)
	}
	m, _ := NewCMAC(tcg.TPMAlgAES, make([]byte, 16))
	if _, err := RestoreCMAC(tcg.TPMAlgAES, make([]byte, 16), m.Save()[1:]); err != ErrState {
		t.Error(err)
	}
	m.Write([]byte("x"))
	m.Reset()
	n, _ := NewCMAC(tcg.TPMAlgAES, make([]byte, 16))
	if !bytes.Equal(m.Sum(nil), n.Sum(nil)) || m.Size() != 16 || m.BlockSize() != 16 {
		t.Error("Reset")
	}
}

func BenchmarkCFB1KiB(b *testing.B) {
	key, data := make([]byte, 16), make([]byte, 1024)
	b.SetBytes(1024)
	for b.Loop() {
		CFB(tcg.TPMAlgAES, key, nil, data, true)
	}
}
