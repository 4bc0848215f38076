package tpmcrypto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"stubtpm/vtpm/tcg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHashes(t *testing.T) {
	t.Parallel()
	if n := len(Hashes()); len(katDigests) != n && HasSM {
		t.Fatalf("%d vectors for %d hashes", len(katDigests), len(Hashes()))
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 100)
	for _, alg := range Hashes() {
		want := unhex(t, katDigests[alg])
		if got := Sum(nil, alg, []byte("a"), nil, []byte("bc")); !bytes.Equal(got, want) {
			t.Errorf("%#x: Sum of abc = %x", alg, got)
		}
		if len(want) != DigestSize(alg) || alg.DigestSize() != DigestSize(alg) {
			t.Errorf("%#x: DigestSize = %d", alg, DigestSize(alg))
		}
		h := NewHash(alg)
		if h.BlockSize() != BlockSize(alg) || h.Size() != DigestSize(alg) {
			t.Errorf("%#x: BlockSize = %d, hash says %d", alg, BlockSize(alg), h.BlockSize())
		}
		h.Write(long)
		one := h.Sum([]byte{7})
		if got := Sum([]byte{7}, alg, long); !bytes.Equal(got, one) {
			t.Errorf("%#x: Sum of one long part differs", alg)
		}
		if got := Sum([]byte{7}, alg, long[:700], long[700:]); !bytes.Equal(got, one) {
			t.Errorf("%#x: Sum of long parts differs", alg)
		}
	}
	if Sum(nil, tcg.TPMAlgNull, nil) != nil || NewHash(tcg.TPMAlgSHA256192) != nil ||
		DigestSize(tcg.TPMAlgAES) != 0 || HasHash(tcg.TPMAlgNull) {
		t.Error("an unsupported hash was accepted")
	}
}

func TestHashContext(t *testing.T) {
	t.Parallel()
	msg := bytes.Repeat([]byte("xyz"), 200)
	for _, alg := range Hashes() {
		for cut := 0; cut <= len(msg); cut += 37 {
			h := NewHash(alg)
			h.Write(msg[:cut])
			s, err := SaveHash(h)
			if err != nil {
				t.Fatal(err)
			}
			r, err := RestoreHash(alg, s)
			if err != nil {
				t.Fatal(err)
			}
			r.Write(msg[cut:])
			if !bytes.Equal(r.Sum(nil), Sum(nil, alg, msg)) {
				t.Fatalf("%#x: restored at %d gives another digest", alg, cut)
			}
		}
		other := tcg.TPMAlgSHA1
		if alg == other {
			other = tcg.TPMAlgSHA256
		}
		s, _ := SaveHash(NewHash(alg))
		if _, err := RestoreHash(other, s); !errors.Is(err, ErrState) {
			t.Errorf("state of %#x restored as %#x: %v", alg, other, err)
		}
	}
}

func TestSumAllocs(t *testing.T) {
	a, b := make([]byte, 32), make([]byte, 32)
	var dst [32]byte
	for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256} {
		if n := testing.AllocsPerRun(100, func() { Sum(dst[:0], alg, a, b) }); n > 0 {
			t.Errorf("%#x: extend allocates %v times", alg, n)
		}
	}
}

func FuzzRestore(f *testing.F) {
	for _, alg := range Hashes() {
		h := NewHash(alg)
		h.Write([]byte("seed"))
		s, _ := SaveHash(h)
		f.Add(uint16(alg), s)
		s = bytes.Clone(s)
		s[len(s)-1] = 1 // for SHA-3, a sponge that gives out
		f.Add(uint16(alg), s)
		m, _ := NewHMAC(alg, []byte("key"))
		s, _ = m.Save()
		f.Add(uint16(alg), s)
	}
	c, _ := NewCMAC(tcg.TPMAlgAES, make([]byte, 16))
	c.Write([]byte("seed"))
	f.Add(uint16(tcg.TPMAlgAES), c.Save())
	f.Fuzz(func(t *testing.T, id uint16, s []byte) {
		alg := tcg.TPMAlgID(id)
		if h, err := RestoreHash(alg, s); err == nil {
			h.Write([]byte("more"))
			h.Sum(nil)
		}
		if h, err := RestoreHMAC(alg, s); err == nil {
			h.Write([]byte("more"))
			h.Sum(nil)
		}
		if c, err := RestoreCMAC(alg, make([]byte, 16), s); err == nil {
			if !bytes.Equal(c.Save()[:1], s[:1]) {
				t.Error("restored and saved CMAC differs")
			}
			c.Write([]byte("more"))
			c.Sum(nil)
		}
	})
}
