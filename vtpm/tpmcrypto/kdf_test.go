package tpmcrypto

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// go-tpm's KDFs were written apart from ours and are used by its clients.
func TestKDFAgainstGoTPM(t *testing.T) {
	t.Parallel()
	key, u, v := []byte("a secret key"), []byte("context u"), []byte("and context v")
	for _, alg := range Hashes()[:4] {
		for _, bits := range []int{8, 128, 160, 256, 512, 1024, 4096} {
			for _, label := range []string{"STORAGE", "INTEGRITY", "CFB", "SECRET"} {
				got, want := KDFa(alg, key, label, u, v, bits), tpm2.KDFa(cryptoHash(alg), key, label, u, v, bits)
				if !bytes.Equal(got, want) {
					t.Errorf("%#x %s %d: KDFa = %x, want %x", alg, label, bits, got, want)
				}
				got, want = KDFe(alg, key, label, u, v, bits), tpm2.KDFe(cryptoHash(alg), key, label, u, v, bits)
				if !bytes.Equal(got, want) {
					t.Errorf("%#x %s %d: KDFe = %x, want %x", alg, label, bits, got, want)
				}
			}
		}
	}
}

func TestKDFForm(t *testing.T) {
	t.Parallel()
	alg := tcg.TPMAlgSHA256
	// Part 1, 8.4.10.2: a zero octet follows the label unless it has one.
	if !bytes.Equal(KDFa(alg, nil, "XOR", nil, nil, 256), KDFa(alg, nil, "XOR\x00", nil, nil, 256)) {
		t.Error("KDFa adds a second zero octet")
	}
	if !bytes.Equal(KDFa(alg, nil, "", nil, nil, 256), KDFa(alg, nil, "\x00", nil, nil, 256)) {
		t.Error("KDFa adds no zero octet to an empty label")
	}
	if !bytes.Equal(KDFe(alg, nil, "DUPLICATE", nil, nil, 256), KDFe(alg, nil, "DUPLICATE\x00", nil, nil, 256)) {
		t.Error("KDFe adds a second zero octet")
	}
	// The same clause: 521 bits are 66 octets, the first with one bit.
	for _, b := range [][]byte{KDFa(alg, []byte{1}, "x", nil, nil, 521), KDFe(alg, []byte{1}, "x", nil, nil, 521)} {
		if len(b) != 66 || b[0] > 1 {
			t.Errorf("521 bits: %d octets, first %#x", len(b), b[0])
		}
	}
	if KDFa(tcg.TPMAlgNull, nil, "", nil, nil, 8) != nil || KDFe(alg, nil, "", nil, nil, -8) != nil ||
		len(KDFa(alg, nil, "", nil, nil, 0)) != 0 {
		t.Error("bad arguments")
	}
}

func TestKDFaStream(t *testing.T) {
	t.Parallel()
	want := KDFa(tcg.TPMAlgSHA384, []byte("parent"), "label", []byte("context"), nil, 8192)
	for _, step := range []int{1, 7, 40, 48, 100, 1024} {
		s := NewKDFaStream(tcg.TPMAlgSHA384, []byte("parent"), "label", []byte("context"), nil, 8192)
		var got []byte
		for len(got)+step <= len(want) {
			b := make([]byte, step)
			io.ReadFull(s, b)
			got = append(got, b...)
		}
		if !bytes.Equal(got, want[:len(got)]) {
			t.Errorf("stream in steps of %d differs from KDFa", step)
		}
	}
}

// RFC 8017 has no vectors. The first two are Wikipedia's ("Mask generation
// function"), the others follow from the definition.
func TestMGF1(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ seed, mask string }{
		{"foo", "1ac907"},
		{"bar", "bc0c655e016bc2931d85a2e675181adcef7f581f76df2739da74faac41627be2f7f415c89e983fd0ce80ced9878641cb4876"},
	} {
		want := unhex(t, v.mask)
		if got := MGF1(tcg.TPMAlgSHA1, []byte(v.seed), len(want)); !bytes.Equal(got, want) {
			t.Errorf("MGF1(%q) = %x", v.seed, got)
		}
	}
	if !bytes.Equal(MGF1(tcg.TPMAlgSHA256, []byte("a"), 70)[32:64], Sum(nil, tcg.TPMAlgSHA256, []byte("a\x00\x00\x00\x01"))) {
		t.Error("MGF1 counter")
	}
	if !bytes.Equal(KDF2(tcg.TPMAlgSHA256, []byte("z"), []byte("i"), 32), Sum(nil, tcg.TPMAlgSHA256, []byte("z\x00\x00\x00\x01i"))) {
		t.Error("KDF2")
	}
}

func TestXOR(t *testing.T) {
	t.Parallel()
	data := []byte("parameter of a session")
	got := bytes.Clone(data)
	if err := XOR(tcg.TPMAlgSHA256, []byte("k"), []byte("u"), []byte("v"), got); err != nil {
		t.Fatal(err)
	}
	m := tpm2.KDFa(cryptoHash(tcg.TPMAlgSHA256), []byte("k"), "XOR", []byte("u"), []byte("v"), len(data)*8)
	for i := range m {
		m[i] ^= data[i]
	}
	if !bytes.Equal(got, m) {
		t.Errorf("XOR = %x, want %x", got, m)
	}
	if XOR(tcg.TPMAlgNull, nil, nil, nil, got) != ErrHash {
		t.Error("unknown hash accepted")
	}
}
