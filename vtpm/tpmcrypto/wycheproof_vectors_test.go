package tpmcrypto

import (
	"bytes"
	"strconv"
	"testing"

	"stubtpm/vtpm/tcg"
)

// vectorMAC is a CMAC of AES, or a HMAC; nil if the key is refused.
func vectorMAC(v vector, key, message []byte) []byte {
	if v.fields[0] != "aes" {
		return SumHMAC(nil, v.alg(0), key, message)
	}
	m, err := NewCMAC(tcg.TPMAlgAES, key)
	if err != nil {
		return nil
	}
	m.Write(message)
	return m.Sum(nil)
}

func TestWycheproofMAC(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-mac.txt", 6, 700) {
		tag := v.hex(5)
		got := vectorMAC(v, v.hex(3), v.hex(4))
		v.check(v.fields[1], len(got) > 0 && len(got) >= len(tag) && bytes.Equal(got[:len(tag)], tag))
	}
}

func TestWycheproofCBC(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-cbc.txt", 6, 50) {
		b, err := NewCipher(tcg.TPMAlgAES, v.hex(2))
		if err != nil {
			t.Fatal(err)
		}
		message, want := v.hex(4), v.hex(5)
		pad := 16 - len(message)%16
		message = append(message, bytes.Repeat([]byte{byte(pad)}, pad)...)
		got := make([]byte, len(message))
		if err := Crypt(b, tcg.TPMAlgCBC, v.hex(3), got, message, true); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", v.where, got, err)
		}
		if err := Crypt(b, tcg.TPMAlgCBC, v.hex(3), got, want, false); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%s: back: %x, %v", v.where, got, err)
		}
	}
}

func TestWycheproofECDSA(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-ecdsa.txt", 7, 500) {
		q, sig := v.hex(4), v.hex(6)
		key, err := NewECCPublic(v.curve(0), Point{q[:len(q)/2], q[len(q)/2:]})
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		digest := Sum(nil, v.alg(1), v.hex(5))
		s := ECCSignature{sig[:len(sig)/2], sig[len(sig)/2:]}
		v.check(v.fields[2], key.VerifyECDSA(digest, s) == nil)
		// The code for curves that the standard library has not is for these too.
		v.check(v.fields[2], key.ownVerifyECDSA(digest, s) == nil)
	}
}

func TestWycheproofECDH(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-ecdh.txt", 6, 200) {
		q, shared := v.hex(3), v.hex(5)
		curve := CurveByID(v.curve(0))
		key, err := NewECCPrivate(v.curve(0), LeftPad(bytes.TrimLeft(v.hex(4), "\x00"), curve.Size))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		z, err := key.ECDH(Point{q[:len(q)/2], q[len(q)/2:]})
		v.check(v.fields[1], err == nil && bytes.Equal(z.X, shared))
		if v.fields[1] == "invalid" && err == nil {
			t.Errorf("%s: a bad point is taken", v.where)
		}
	}
}

func TestWycheproofRSAVerify(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-rsaverify.txt", 8, 150) {
		key, err := NewRSAPublic(v.hex(4), uint32(v.number(5)))
		if err != nil {
			v.check(v.fields[2], false)
			continue
		}
		digest := Sum(nil, v.alg(1), v.hex(6))
		if v.fields[0] == "pkcs1" {
			err = key.VerifyPKCS1v15(v.alg(1), digest, v.hex(7))
		} else {
			err = key.VerifyPSS(v.alg(1), digest, v.hex(7))
		}
		v.check(v.fields[2], err == nil)
	}
}

func (v vector) number(i int) int {
	n, err := strconv.Atoi(v.fields[i])
	if err != nil {
		v.t.Fatalf("%s: %v", v.where, err)
	}
	return n
}

func TestWycheproofRSASign(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-rsasign.txt", 7, 20) {
		key, err := NewRSAPrivate(v.hex(2), uint32(v.number(3)), v.hex(4))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		got, err := key.SignPKCS1v15(v.alg(0), Sum(nil, v.alg(0), v.hex(5)))
		if err != nil || !bytes.Equal(got, v.hex(6)) {
			t.Errorf("%s: %x, %v", v.where, got, err)
		}
	}
}

func TestWycheproofRSADecrypt(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "wycheproof-rsadecrypt.txt", 10, 100) {
		key, err := NewRSAPrivate(v.hex(4), uint32(v.number(5)), v.hex(6))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		var got []byte
		if v.fields[0] == "oaep" {
			got, err = key.DecryptOAEP(v.alg(1), v.hex(9), v.hex(8))
		} else {
			got, err = key.DecryptPKCS1v15(v.hex(8))
		}
		v.check(v.fields[2], err == nil && bytes.Equal(got, v.hex(7)))
		if v.fields[2] == "invalid" && err == nil {
			t.Errorf("%s: decrypted to %x", v.where, got)
		}
	}
}

// TestWycheproofPrimality: isPrime is for random candidates, and errs in too few of
// them to matter. Of these numbers, made to be mistaken for primes, a try may
// let one through, not every try; a prime is one in every try.
func TestWycheproofPrimality(t *testing.T) {
	t.Parallel()
	bases := NewDRBG(tcg.TPMAlgSHA256, []byte("bases of Miller-Rabin"))
	for _, v := range vectors(t, "wycheproof-primality.txt", 3, 120) {
		tries := 20
		if v.fields[0] == "valid" {
			tries = 2
		}
		prime := true
		for i := 0; i < tries && prime; i++ {
			var err error
			if prime, err = isPrime(bases, v.hex(2)); err != nil {
				t.Fatalf("%s: %v", v.where, err)
			}
		}
		v.check(v.fields[0], prime)
	}
}
