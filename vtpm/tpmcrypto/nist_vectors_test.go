package tpmcrypto

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestNISTHash(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-hash.txt", 3, 200) {
		if got := Sum(nil, v.alg(0), v.hex(1)); !bytes.Equal(got, v.hex(2)) {
			t.Errorf("%s: %x", v.where, got)
		}
		// In two parts, by a context that is saved in between.
		message := v.hex(1)
		h := NewHash(v.alg(0))
		h.Write(message[:len(message)/2])
		state, err := SaveHash(h)
		if err != nil {
			t.Fatal(err)
		}
		if h, err = RestoreHash(v.alg(0), state); err != nil {
			t.Fatal(err)
		}
		h.Write(message[len(message)/2:])
		if got := h.Sum(nil); !bytes.Equal(got, v.hex(2)) {
			t.Errorf("%s: in parts: %x", v.where, got)
		}
	}
}

func TestNISTCipher(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-cipher.txt", 6, 200) {
		b, err := NewCipher(v.alg(0), v.hex(2))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		plain, cipher := v.hex(4), v.hex(5)
		got := make([]byte, len(plain))
		if err := Crypt(b, v.alg(1), v.hex(3), got, plain, true); err != nil || !bytes.Equal(got, cipher) {
			t.Errorf("%s: %x, %v", v.where, got, err)
		}
		if err := Crypt(b, v.alg(1), v.hex(3), got, cipher, false); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: back: %x, %v", v.where, got, err)
		}
	}
}

func TestNISTCMAC(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-cmac.txt", 4, 20) {
		m, err := NewCMAC(v.alg(0), v.hex(1))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		m.Write(v.hex(2))
		if got := m.Sum(nil); !bytes.HasPrefix(got, v.hex(3)) {
			t.Errorf("%s: %x", v.where, got)
		}
	}
}

// TestNISTKDFa: the vectors' fixed input is random. In KDFa it is a label, an
// octet of zero, a context and a number of bits, so it is taken apart there; the
// number of bits is then larger than what is read.
func TestNISTKDFa(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-kdfa.txt", 4, 20) {
		fixed, want := v.hex(2), v.hex(3)
		label, rest, _ := bytes.Cut(fixed, []byte{0})
		context, bits := rest[:len(rest)-4], binary.BigEndian.Uint32(rest[len(rest)-4:])
		for u := range len(context) + 1 {
			got := make([]byte, len(want))
			NewKDFaStream(v.alg(0), v.hex(1), string(label), context[:u], context[u:], int(bits)).Read(got)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %x", v.where, got)
			}
		}
	}
}

func TestNISTKDFe(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-kdfe.txt", 4, 15) {
		want := v.hex(3)
		label, info, _ := bytes.Cut(v.hex(2), []byte{0})
		half := len(info) / 2
		if got := KDFe(v.alg(0), v.hex(1), string(label), info[:half], info[half:], len(want)*8); !bytes.Equal(got, want) {
			t.Errorf("%s: %x", v.where, got)
		}
	}
}

func TestNISTKDF2(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-kdf2.txt", 4, 15) {
		want := v.hex(3)
		if got := KDF2(v.alg(0), v.hex(1), v.hex(2), len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s: %x", v.where, got)
		}
	}
}

// TestNISTECC makes public keys of private ones, and checks public ones.
func TestNISTECC(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-ecc.txt", 5, 80) {
		c := CurveByID(v.curve(0))
		// The file leaves out leading zeros; what is too long is a bad point.
		pad := func(b []byte) []byte {
			if b = bytes.TrimLeft(b, "\x00"); len(b) > c.Size {
				return b
			}
			return LeftPad(b, c.Size)
		}
		q := Point{pad(v.hex(3)), pad(v.hex(4))}
		_, err := NewECCPublic(v.curve(0), q)
		v.check(map[string]string{"P": "valid", "F": "invalid"}[v.fields[1]], err == nil)
		if v.fields[2] == "" {
			continue
		}
		key, err := NewECCPrivate(v.curve(0), pad(v.hex(2)))
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		if !key.Matches(q) {
			t.Errorf("%s: made %x", v.where, key.Q)
		}
	}
}

// nistVectors are vectors; a hexadecimal number of odd length gets a zero.
func nistVectors(t *testing.T, name string, fields, least int) []vector {
	t.Helper()
	all := vectors(t, name, fields, least)
	for _, v := range all {
		for i := 1; i < fields; i++ {
			if f := v.fields[i]; len(f) > 8 && len(f)%2 == 1 {
				v.fields[i] = "0" + f
			}
		}
	}
	return all
}

// TestNISTDRBG: the vectors give the output of the second request.
func TestNISTDRBG(t *testing.T) {
	t.Parallel()
	for _, v := range nistVectors(t, "nist-drbg.txt", 9, 33) {
		d := NewDRBG(v.alg(0), v.hex(1), v.hex(2), v.hex(3))
		if v.fields[4] != "" {
			d.Reseed(v.hex(4), v.hex(5))
		}
		want := v.hex(8)
		got := make([]byte, len(want))
		for i := range 2 {
			if err := d.Generate(got, v.hex(6+i)); err != nil {
				t.Fatalf("%s: %v", v.where, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %x", v.where, got)
		}
	}
}
