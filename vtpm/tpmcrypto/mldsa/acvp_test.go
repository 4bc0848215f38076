package mldsa

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// octets is a hexadecimal string of a vector.
type octets []byte

func (b *octets) UnmarshalJSON(j []byte) error {
	var s string
	if err := json.Unmarshal(j, &s); err != nil {
		return err
	}
	v, err := hex.DecodeString(s)
	*b = v
	return err
}

// A vector is one of NIST's ACVP vectors, question and answer in one.
type vector struct {
	TcID      int
	Seed      octets
	Sk        octets
	Pk        octets
	Message   octets
	Rnd       octets
	Signature octets
	Passed    *bool `json:"testPassed"`
}

type groups struct {
	TestGroups []struct {
		ParameterSet string
		Pk           octets
		Tests        []vector
	}
}

// acvp calls f with all vectors of a kind, which are in circl's module.
func acvp(t *testing.T, kind string, least int, f func(s set, pk []byte, question, answer vector)) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudflare/circl").Output()
	if err != nil {
		t.Fatalf("the module that has the vectors: %v", err)
	}
	read := func(name string) (g groups) {
		file, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "sign/mldsa/testdata", "ML-DSA-"+kind+"-FIPS204", name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		z, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewDecoder(z).Decode(&g); err != nil {
			t.Fatal(err)
		}
		return g
	}
	questions, answers, n := read("prompt.json.gz"), read("expectedResults.json.gz"), 0
	for i, g := range questions.TestGroups {
		for _, s := range sets() {
			if s.name != g.ParameterSet {
				continue
			}
			for j, q := range g.Tests {
				a := answers.TestGroups[i].Tests[j]
				if q.TcID != a.TcID {
					t.Fatalf("vectors %d and %d", q.TcID, a.TcID)
				}
				f(s, g.Pk, q, a)
				n++
			}
		}
	}
	if n < least {
		t.Errorf("%d vectors, want %d", n, least)
	}
}

// expanded reads the private key of FIPS 204, Algorithm 25, which a TPM never
// has: the vectors for signatures do not tell seeds.
func expanded(p *Params, b []byte) *PrivateKey {
	k := &PrivateKey{key: b[32:64], s1: make([]poly, p.l), s2: make([]poly, p.k), t0: make([]poly, p.k)}
	k.pub = PublicKey{p: p, a: p.expandA(b[:32]), tr: b[64:128]}
	b = b[128:]
	take := func(v []poly, top uint32, bits int) {
		for i := range v {
			unpack(&v[i], b, bits)
			b = b[n*bits/8:]
			for j := range v[i] {
				v[i][j] = sub(top, v[i][j])
			}
			v[i].ntt()
		}
	}
	bits := 3
	if p.eta == 4 {
		bits = 4
	}
	take(k.s1, uint32(p.eta), bits)
	take(k.s2, uint32(p.eta), bits)
	take(k.t0, 1<<(d-1), d)
	return k
}

// TestACVP sends NIST's vectors for the internal functions of FIPS 204.
func TestACVP(t *testing.T) {
	t.Parallel()
	acvp(t, "keyGen", 75, func(s set, _ []byte, q, a vector) {
		k, err := NewPrivate(s.p, q.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.Public().Bytes(), a.Pk) {
			t.Errorf("key %d: another public key", q.TcID)
		}
		e := expanded(s.p, a.Sk)
		for i := range k.s1 {
			if k.s1[i] != e.s1[i] {
				t.Errorf("key %d: another s1", q.TcID)
			}
		}
		for i := range k.s2 {
			if k.s2[i] != e.s2[i] || k.t0[i] != e.t0[i] {
				t.Errorf("key %d: another s2 or t0", q.TcID)
			}
		}
	})
	acvp(t, "sigGen", 60, func(s set, _ []byte, q, a vector) {
		k := expanded(s.p, q.Sk)
		rnd := make([]byte, RndSize)
		copy(rnd, q.Rnd)
		sig, err := k.SignMu(shake(MuSize, k.pub.tr, q.Message), rnd)
		if err != nil || !bytes.Equal(sig, a.Signature) {
			t.Errorf("signature %d: another one (%v)", q.TcID, err)
		}
	})
	acvp(t, "sigVer", 45, func(s set, pk []byte, q, a vector) {
		k, err := NewPublic(s.p, pk)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.VerifyMu(shake(MuSize, k.Tr(), q.Message), q.Signature); got != *a.Passed {
			t.Errorf("signature %d: %v, want %v", q.TcID, got, *a.Passed)
		}
	})
}
