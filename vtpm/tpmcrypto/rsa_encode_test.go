package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"testing"

	"stubtpm/vtpm/tcg"
)

// Any changed octet of an encoding is noticed, and so is a cut.
func TestDecodeOAEP(t *testing.T) {
	t.Parallel()
	k := testRSA(t, 2048)
	for _, msg := range []string{"", "hello", "\x00\x01", string(make([]byte, 256-2*32-2))} {
		c, err := k.EncryptOAEP(rand.Reader, tcg.TPMAlgSHA256, []byte("L\x00"), []byte(msg))
		if err != nil {
			t.Fatal(err)
		}
		em, err := k.Raw(c)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := decodeOAEP(tcg.TPMAlgSHA256, []byte("L\x00"), bytes.Clone(em)); err != nil || string(m) != msg {
			t.Errorf("%q: %q, %v", msg, m, err)
		}
		for i := range em {
			bad := bytes.Clone(em)
			bad[i] ^= 0x10
			if m, err := decodeOAEP(tcg.TPMAlgSHA256, []byte("L\x00"), bad); err != ErrValue || m != nil {
				t.Errorf("%q, octet %d changed: %q, %v", msg, i, m, err)
			}
			if _, err := decodeOAEP(tcg.TPMAlgSHA256, []byte("L\x00"), bytes.Clone(em[:i])); err != ErrValue {
				t.Errorf("%q, %d octets: %v", msg, i, err)
			}
		}
	}
	// Right but for the end of the padding: no 1, or something before it.
	for _, tail := range [][]byte{make([]byte, 20), append([]byte{0, 0, 2, 1}, make([]byte, 16)...)} {
		db := append(Sum(nil, tcg.TPMAlgSHA1, nil), tail...)
		seed := make([]byte, 20)
		for i, b := range MGF1(tcg.TPMAlgSHA1, seed, len(db)) {
			db[i] ^= b
		}
		for i, b := range MGF1(tcg.TPMAlgSHA1, db, len(seed)) {
			seed[i] ^= b
		}
		em := append(append([]byte{0}, seed...), db...)
		if m, err := decodeOAEP(tcg.TPMAlgSHA1, nil, append(em, 0)); err != ErrValue {
			t.Errorf("%x: %x, %v", tail, m, err)
		}
		if m, err := decodeOAEP(tcg.TPMAlgSHA1, nil, em); err != ErrValue {
			t.Errorf("%x: %x, %v", tail, m, err)
		}
	}
}

func TestDecodePKCS1v15(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		em string
		m  string
		ok bool
	}{
		{"\x00\x0212345678\x00abc", "abc", true}, {"\x00\x0212345678\x00", "", true},
		{"\x00\x02123456789\x00\x00a", "\x00a", true},
		{"\x00\x021234567\x00abcd", "", false}, {"\x00\x02123\x0045678\x00abc", "", false},
		{"\x01\x0212345678\x00abc", "", false}, {"\x00\x0112345678\x00abc", "", false},
		{"\x00\x02123456789abc", "", false}, {"\x00\x02", "", false}, {"", "", false},
	} {
		m, err := decodePKCS1v15([]byte(c.em))
		if string(m) != c.m || (err == nil) != c.ok {
			t.Errorf("%q: %q, %v", c.em, m, err)
		}
	}
}

func FuzzDecodeRSA(f *testing.F) {
	f.Add([]byte("\x00\x0212345678\x00abc"))
	f.Add(make([]byte, 128))
	f.Fuzz(func(t *testing.T, em []byte) {
		if m, err := decodePKCS1v15(em); err == nil && len(m) > len(em)-11 {
			t.Error("message too long")
		}
		if m, err := decodeOAEP(tcg.TPMAlgSHA1, nil, em); err == nil && len(m) > len(em)-42 {
			t.Error("message too long")
		}
	})
}

// Too small a key: 1024 bits take SHA-512 in RSASSA and 62 octets of salt.
func TestEncodeSizes(t *testing.T) {
	t.Parallel()
	d := make([]byte, 64)
	if _, err := encodePKCS1v15(tcg.TPMAlgSHA512, d, 64+19+11); err != nil {
		t.Error(err)
	}
	if _, err := encodePKCS1v15(tcg.TPMAlgSHA512, d, 64+19+10); err != ErrSize {
		t.Error(err)
	}
	if _, err := encodePSS(tcg.TPMAlgSHA512, d, d[:62], 128); err != nil {
		t.Error(err)
	}
	if _, err := encodePSS(tcg.TPMAlgSHA512, d, d[:63], 128); err != ErrSize {
		t.Error(err)
	}
}
