package mlkem

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

type groups struct {
	TestGroups []struct {
		ParameterSet, Function string
		Dk                     octets
		Tests                  []struct {
			TcID                  int
			Z, D, Ek, Dk, M, C, K octets
		}
	}
}

// expanded reads the private key of FIPS 203, Algorithm 16, which a TPM never
// has: the vectors for decapsulation do not tell seeds.
func expanded(t *testing.T, p *Params, dk []byte) *PrivateKey {
	t.Helper()
	pub, err := NewPublic(p, dk[p.k*polyBytes:][:p.PublicSize()])
	if err != nil {
		t.Fatal(err)
	}
	k := &PrivateKey{pub: *pub, s: make([]poly, p.k)}
	for i := range k.s {
		unpack(&k.s[i], dk[i*polyBytes:], 12)
	}
	copy(k.z[:], dk[len(dk)-32:])
	return k
}

// TestACVP sends NIST's vectors, which are in circl's module.
func TestACVP(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudflare/circl").Output()
	if err != nil {
		t.Fatalf("the module that has the vectors: %v", err)
	}
	read := func(kind, name string) (g groups) {
		file, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "kem/mlkem/testdata", "ML-KEM-"+kind+"-FIPS203", name))
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
	count := 0
	for _, kind := range []string{"keyGen", "encapDecap"} {
		questions, answers := read(kind, "prompt.json.gz"), read(kind, "expectedResults.json.gz")
		for i, g := range questions.TestGroups {
			var p *Params
			for _, s := range sets() {
				if s.name == g.ParameterSet {
					p = s.p
				}
			}
			for j, q := range g.Tests {
				a := answers.TestGroups[i].Tests[j]
				count++
				switch g.Function {
				case "":
					k, err := NewPrivate(p, append(bytes.Clone(q.D), q.Z...))
					if err != nil || !bytes.Equal(k.Public().Bytes(), a.Ek) {
						t.Fatalf("key %d: another public key (%v)", q.TcID, err)
					}
					for i, s := range expanded(t, p, a.Dk).s {
						if s != k.s[i] {
							t.Errorf("key %d: another s", q.TcID)
						}
					}
				case "encapsulation":
					k, err := NewPublic(p, q.Ek)
					if err != nil {
						t.Fatal(err)
					}
					if secret, c, err := k.Encapsulate(q.M); err != nil || !bytes.Equal(secret, a.K) || !bytes.Equal(c, a.C) {
						t.Errorf("encapsulation %d: another one (%v)", q.TcID, err)
					}
				case "decapsulation":
					if secret, err := expanded(t, p, g.Dk).Decapsulate(q.C); err != nil || !bytes.Equal(secret, a.K) {
						t.Errorf("decapsulation %d: another secret (%v)", q.TcID, err)
					}
				default:
					t.Fatalf("vectors for %q", g.Function)
				}
			}
		}
	}
	if count != 75+75+30 {
		t.Errorf("%d vectors", count)
	}
}
