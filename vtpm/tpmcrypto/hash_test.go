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

// Digests of "abc": FIPS 180-4 and FIPS 202 example values, NIST's
// "Examples with Intermediate Values".
var abcDigests = map[tcg.TPMAlgID]string{
	tcg.TPMAlgSHA1:    "a9993e364706816aba3e25717850c26c9cd0d89d",
	tcg.TPMAlgSHA256:  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	tcg.TPMAlgSHA384:  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
	tcg.TPMAlgSHA512:  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	tcg.TPMAlgSHA3256: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	tcg.TPMAlgSHA3384: "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
	tcg.TPMAlgSHA3512: "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
}

func TestHashes(t *testing.T) {
	t.Parallel()
	if len(abcDigests) != len(Hashes()) {
		t.Fatalf("%d vectors for %d hashes", len(abcDigests), len(Hashes()))
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 100)
	for _, alg := range Hashes() {
		want := unhex(t, abcDigests[alg])
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
	if Sum(nil, tcg.TPMAlgNull, nil) != nil || NewHash(tcg.TPMAlgSM3256) != nil ||
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
