package tpmcrypto

import (
	"bytes"
	"crypto/hmac"
	"hash"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestHMACAgainstStandard(t *testing.T) {
	t.Parallel()
	for _, alg := range Hashes() {
		for _, kl := range []int{0, 1, 20, 64, 72, 104, 128, 136, 137, 300} {
			for _, ml := range []int{0, 3, 64, 400, 600, 2000} {
				key, msg := bytes.Repeat([]byte{0xaa}, kl), bytes.Repeat([]byte{0x5c}, ml)
				std := hmac.New(func() hash.Hash { return NewHash(alg) }, key)
				std.Write(msg)
				want := std.Sum(nil)
				if got := SumHMAC(nil, alg, key, msg[:ml/2], msg[ml/2:]); !bytes.Equal(got, want) {
					t.Fatalf("%#x key %d message %d: SumHMAC = %x, want %x", alg, kl, ml, got, want)
				}
				m, err := NewHMAC(alg, key)
				if err != nil {
					t.Fatal(err)
				}
				m.Write(msg[:ml/3])
				s, err := m.Save()
				if err != nil {
					t.Fatal(err)
				}
				m.Reset()
				m.Write(msg)
				if got := m.Sum(nil); !bytes.Equal(got, want) {
					t.Fatalf("%#x key %d message %d: HMAC = %x, want %x", alg, kl, ml, got, want)
				}
				if m, err = RestoreHMAC(alg, s); err != nil {
					t.Fatal(err)
				}
				m.Write(msg[ml/3:])
				if got := m.Sum(nil); !bytes.Equal(got, want) {
					t.Fatalf("%#x: restored HMAC = %x, want %x", alg, got, want)
				}
				if !VerifyHMAC(want, alg, key, msg) {
					t.Fatal("VerifyHMAC refuses the right code")
				}
				want[0] ^= 1
				if VerifyHMAC(want, alg, key, msg) || VerifyHMAC(want[:4], alg, key, msg) {
					t.Fatal("VerifyHMAC accepts a wrong code")
				}
			}
		}
	}
	if _, err := NewHMAC(tcg.TPMAlgNull, nil); err != ErrHash {
		t.Error(err)
	}
	if VerifyHMAC(nil, tcg.TPMAlgNull, nil) {
		t.Error("VerifyHMAC accepts an unknown hash")
	}
}

func TestHMACAllocs(t *testing.T) {
	key, msg := make([]byte, 32), make([]byte, 100)
	var dst [32]byte
	if n := testing.AllocsPerRun(100, func() { SumHMAC(dst[:0], tcg.TPMAlgSHA256, key, msg) }); n > 0 {
		t.Errorf("SumHMAC allocates %v times", n)
	}
}

func BenchmarkHMACSHA256(b *testing.B) {
	key, msg := make([]byte, 32), make([]byte, 100)
	var dst [32]byte
	for b.Loop() {
		SumHMAC(dst[:0], tcg.TPMAlgSHA256, key, msg)
	}
}
