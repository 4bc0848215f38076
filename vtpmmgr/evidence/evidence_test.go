package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// testStatement returns a statement with no two fields alike.
func testStatement() *Statement {
	return &Statement{
		Salt: [16]byte{1}, Manager: [16]byte{2}, UUID: [16]byte{3}, Group: 4, LedgerEpoch: 5, Epoch: 6, Time: 7,
		Image: [32]byte{8}, Measurer: Host, Flags: XSMEnforcing | StartMeasured, SecurityVersion: 9,
		Guard: Budget, Parameter: 10, ManagerImage: [32]byte{11}, ManagerSecurityVersion: 12,
		Nonce: bytes.Repeat([]byte{13}, 32), AK: append([]byte{0, 11}, make([]byte, 32)...),
		EKs: [][32]byte{{14}, {15}}, Label: "system_u:system_r:vtpm_t",
	}
}

// startedStatement returns one of a guest whose start was measured.
func startedStatement() *Statement {
	s := testStatement()
	s.Start = Start{Program: [32]byte{16}, Reporter: Administrator, Measurer: "a host 1"}
	return s
}

func mustMarshal(t testing.TB, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStatementFixed holds the wire form of version 1: a verifier of years ago
// must read what is written now.
func TestStatementFixed(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(mustMarshal(t, testStatement()))
	if got := hex.EncodeToString(sum[:8]); got != statementSum {
		t.Errorf("SHA-256 of the wire form begins with %s, want %s", got, statementSum)
	}
}

// TestStatementEveryByte changes each byte of a statement in turn: what is then
// accepted is another statement, never the same one.
func TestStatementEveryByte(t *testing.T) {
	t.Parallel()
	for _, s := range []*Statement{testStatement(), startedStatement()} {
		b := mustMarshal(t, s)
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 0x10
			if s, err := ParseStatement(c); err == nil && !bytes.Equal(mustMarshal(t, s), c) {
				t.Errorf("byte %d has two forms", i)
			}
			if _, err := ParseStatement(b[:i]); err == nil {
				t.Errorf("the first %d of %d bytes are accepted", i, len(b))
			}
		}
		if again, err := ParseStatement(b); err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v comes back as %+v, %v", s, again, err)
		}
	}
}

// TestStatementVersions: each of the two versions is of the statements that need it.
func TestStatementVersions(t *testing.T) {
	t.Parallel()
	plain, started := mustMarshal(t, testStatement()), mustMarshal(t, startedStatement())
	if plain[9] != 1 || started[9] != 2 {
		t.Fatalf("versions %d and %d", plain[9], started[9])
	}
	empty := append(bytes.Clone(plain), make([]byte, 32+1+1)...)
	empty[9] = 2
	old, none := bytes.Clone(started), bytes.Clone(plain)
	old[9], none[9] = 1, 3
	for what, b := range map[string][]byte{"version 2 without a start": empty, "version 1 with one": old, "version 3": none} {
		if _, err := ParseStatement(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestStatementRefuses(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Statement){
		"short nonce":      func(s *Statement) { s.Nonce = s.Nonce[:MinNonce-1] },
		"long nonce":       func(s *Statement) { s.Nonce = make([]byte, MaxNonce+1) },
		"no Name":          func(s *Statement) { s.AK = nil },
		"Name by SHA-1":    func(s *Statement) { s.AK = append([]byte{0, 4}, make([]byte, 20)...) },
		"Name cut":         func(s *Statement) { s.AK = s.AK[:33] },
		"no EK":            func(s *Statement) { s.EKs = nil },
		"too many EKs":     func(s *Statement) { s.EKs = make([][32]byte, MaxEKs+1) },
		"control in label": func(s *Statement) { s.Label = "a\n" },
		"long label":       func(s *Statement) { s.Label = strings.Repeat("a", MaxLabel+1) },
		"measurer":         func(s *Statement) { s.Measurer = Administrator + 1 },
		"image, measurer":  func(s *Statement) { s.Measurer = Unmeasured },
		"measurer, image":  func(s *Statement) { s.Image = [32]byte{} },
		"guard":            func(s *Statement) { s.Guard = Budget + 1 },
		"strict guard":     func(s *Statement) { s.Guard = Strict },
		"flags":            func(s *Statement) { s.Flags |= 0x80 },
		"start, no flag":   func(s *Statement) { s.Flags &^= StartMeasured },
		"no program":       func(s *Statement) { s.Start.Program = [32]byte{} },
		"no reporter":      func(s *Statement) { s.Start.Reporter = Unmeasured },
		"reporter":         func(s *Statement) { s.Start.Reporter = Administrator + 1 },
		"no measurer":      func(s *Statement) { s.Start.Measurer = "" },
		"long measurer":    func(s *Statement) { s.Start.Measurer = strings.Repeat("a", MaxMeasurer+1) },
		"measurer, a line": func(s *Statement) { s.Start.Measurer = "a\n" },
	} {
		s := startedStatement()
		change(s)
		if _, err := s.Marshal(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func testQuote() *Quote {
	return &Quote{Key: []byte("key"), Attest: []byte("attest"), Signature: []byte("signature"),
		PCRs: []PCR{{11, 0, make([]byte, 32)}, {12, 23, make([]byte, 48)}}}
}

func testEvidence(t testing.TB) *Evidence {
	leaves := []Hash{{1}, {2}, {3}}
	return &Evidence{Chain: []byte("chain"), EK: []byte("ek"), Statement: mustMarshal(t, testStatement()),
		Proof: Prove(leaves, 1).Marshal(), Hardware: mustMarshal(t, testQuote()), CRLs: []byte("crl")}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	b := mustMarshal(t, testEvidence(t))
	e, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if e.Guest != nil || string(e.CRLs) != "crl" || !bytes.Equal(mustMarshal(t, e), b) {
		t.Errorf("parsed as %+v", e)
	}
	for i := range b {
		if _, err := Parse(b[:i]); err == nil && i > 10 {
			// A cut between two sections leaves evidence with fewer of them.
			if e, _ := Parse(b[:i]); !bytes.Equal(mustMarshal(t, e), b[:i]) {
				t.Errorf("cut at %d", i)
			}
		}
	}
}

func TestEvidenceRefuses(t *testing.T) {
	t.Parallel()
	head := []byte(magic + "\x00\x01")
	section := func(n byte, v string) []byte { return append([]byte{0, n, 0, 0, 0, byte(len(v))}, v...) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for what, b := range map[string][]byte{
		"nothing":       nil,
		"other magic":   []byte("stubEVE\x00\x00\x01"),
		"other version": []byte(magic + "\x00\x02"),
		"unknown":       join(head, section(10, "a")),
		"section 0":     join(head, section(0, "a")),
		"twice":         join(head, section(2, "a"), section(2, "a")),
		"out of order":  join(head, section(2, "a"), section(1, "a")),
		"empty":         join(head, section(2, "")),
		"cut":           join(head, section(2, "abc")[:8]),
		"too long":      join(head, []byte{0, 2, 0, 1, 0, 0}, make([]byte, 1<<16)),
		"longer than b": join(head, []byte{0, 2, 0, 0, 1, 0, 1}),
		"more than max": make([]byte, MaxSize+1),
	} {
		if _, err := Parse(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTreeKnown compares with the roots that Certificate Transparency's test
// data has for its eight leaves.
func TestTreeKnown(t *testing.T) {
	t.Parallel()
	var leaves []Hash
	for i, in := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, _ := hex.DecodeString(in)
		leaves = append(leaves, Leaf(b))
		want := []string{
			"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
			"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
			"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
			"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
			"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
			"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
			"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
		}[i]
		if root := Root(leaves); hex.EncodeToString(root[:]) != want {
			t.Errorf("root of %d leaves is %x", i+1, root)
		}
	}
}

// TestTree proves each leaf of trees of many sizes. No proof holds for another
// leaf, at another place, or with a hash changed, left out or added.
func TestTree(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 33; size++ {
		leaves := make([]Hash, size)
		for i := range leaves {
			leaves[i] = Leaf([]byte{byte(i)})
		}
		root := Root(leaves)
		for i := range leaves {
			p := Prove(leaves, i)
			if got, err := p.Root(leaves[i]); err != nil || got != root {
				t.Fatalf("leaf %d of %d: %v", i, size, err)
			}
			if got, err := ParseProof(p.Marshal()); err != nil || !bytes.Equal(got.Marshal(), p.Marshal()) {
				t.Fatalf("leaf %d of %d: parsed as %v, %v", i, size, got, err)
			}
			if got, _ := p.Root(Leaf([]byte("other"))); got == root {
				t.Fatalf("another leaf is proven at %d of %d", i, size)
			}
			for j := range leaves {
				if q := (&Proof{uint32(j), uint32(size), p.Path}); j != i {
					if got, err := q.Root(leaves[i]); err == nil && got == root {
						t.Fatalf("leaf %d of %d is proven at %d", i, size, j)
					}
				}
			}
			spoil(t, p, leaves[i], root)
		}
	}
}

func spoil(t *testing.T, p *Proof, leaf, root Hash) {
	t.Helper()
	long := &Proof{p.Index, p.Size, append(p.Path[:len(p.Path):len(p.Path)], Hash{})}
	if _, err := long.Root(leaf); !errors.Is(err, ErrFormat) {
		t.Errorf("a hash too many: %v", err)
	}
	if len(p.Path) == 0 {
		return
	}
	short := &Proof{p.Index, p.Size, p.Path[1:]}
	if _, err := short.Root(leaf); !errors.Is(err, ErrFormat) {
		t.Errorf("a hash too few: %v", err)
	}
	i := rand.IntN(len(p.Path))
	other := &Proof{p.Index, p.Size, append([]Hash(nil), p.Path...)}
	other.Path[i][0] ^= 1
	if got, _ := other.Root(leaf); got == root {
		t.Errorf("hash %d of the path does not count", i)
	}
}

func TestProofRefuses(t *testing.T) {
	t.Parallel()
	for what, b := range map[string][]byte{
		"nothing":   nil,
		"no leaves": make([]byte, 8),
		"outside":   {0, 0, 0, 1, 0, 0, 0, 1},
		"too many":  {0, 0, 0, 0, 0, 1, 0, 1},
		"half hash": append([]byte{0, 0, 0, 0, 0, 0, 0, 2}, make([]byte, 16)...),
		"long":      make([]byte, MaxProof+32),
	} {
		if _, err := ParseProof(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBinding: each input of the two values counts, and neither value can be
// taken for the other.
func TestBinding(t *testing.T) {
	t.Parallel()
	seen := map[Hash]string{}
	add := func(what string, h Hash) {
		if old, ok := seen[h]; ok {
			t.Errorf("%s and %s give the same", old, what)
		}
		seen[h] = what
	}
	add("hardware", HardwareNonce([16]byte{}, 1, Hash{}))
	add("manager", HardwareNonce([16]byte{1}, 1, Hash{}))
	add("size", HardwareNonce([16]byte{}, 2, Hash{}))
	add("root", HardwareNonce([16]byte{}, 1, Hash{1}))
	add("guest", GuestNonce([]byte("a"), []byte("b")))
	add("statement", GuestNonce([]byte("ab"), nil))
	add("attest", GuestNonce([]byte("a"), []byte("c")))
}

func TestAsk(t *testing.T) {
	t.Parallel()
	s := testStatement()
	a := &Ask{Nonce: s.Nonce, AK: s.AK}
	got, err := ParseAsk(mustMarshal(t, a))
	if err != nil || !bytes.Equal(got.Nonce, a.Nonce) || !bytes.Equal(got.AK, a.AK) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = ParseAsk(mustMarshal(t, &Ask{AK: s.AK})); err != nil || got.Nonce != nil || !bytes.Equal(got.AK, s.AK) {
		t.Errorf("for a certificate: %v, %v", got, err)
	}
	largest := &Ask{Nonce: make([]byte, MaxNonce), AK: append([]byte{0, 13}, make([]byte, 64)...)}
	if n := len(mustMarshal(t, largest)); n != MaxAsk {
		t.Errorf("the longest has %d bytes, MaxAsk is %d", n, MaxAsk)
	}
	for _, bad := range []*Ask{{}, {Nonce: s.Nonce}, {Nonce: []byte{}, AK: s.AK}, {Nonce: s.Nonce[:8], AK: s.AK}} {
		if _, err := bad.Marshal(); !errors.Is(err, ErrFormat) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// statementSum was computed when version 1 was defined.
const statementSum = "155fd88742b7d40e"
