package tpmcrypto

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
)

// A vector is a line of a file of testdata: fields between tabs. A field
// "-" is empty, and "=" is the field of the line before.
type vector struct {
	t      *testing.T
	where  string
	fields []string
}

// vectors reads a file. It fails on fewer than least lines, so that an empty
// file is no success.
func vectors(t *testing.T, name string, fields, least int) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	var last []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != fields {
			t.Fatalf("%s: %d fields in %q", name, len(f), line)
		}
		for i := range f {
			switch f[i] {
			case "=":
				f[i] = last[i]
			case "-":
				f[i] = ""
			}
		}
		last = f
		where := name + ": " + strings.Join(f[:min(4, len(f))], " ")
		all = append(all, vector{t, where[:min(len(where), 100)], f})
	}
	if len(all) < least {
		t.Fatalf("%s: %d vectors", name, len(all))
	}
	return all
}

// hex is a field's octets.
func (v vector) hex(i int) []byte {
	b, err := hex.DecodeString(v.fields[i])
	if err != nil {
		v.t.Fatalf("%s: %v", v.where, err)
	}
	return b
}

// alg is a field's algorithm.
func (v vector) alg(i int) tcg.TPMAlgID {
	a, ok := map[string]tcg.TPMAlgID{
		"sha1": tcg.TPMAlgSHA1, "sha256": tcg.TPMAlgSHA256, "sha384": tcg.TPMAlgSHA384, "sha512": tcg.TPMAlgSHA512,
		"sha3_256": tcg.TPMAlgSHA3256, "sha3_384": tcg.TPMAlgSHA3384, "sha3_512": tcg.TPMAlgSHA3512,
		"AES": tcg.TPMAlgAES, "TDES": tcg.TPMAlgTDES, "Camellia": tcg.TPMAlgCamellia,
		"ecb": tcg.TPMAlgECB, "cbc": tcg.TPMAlgCBC, "cfb": tcg.TPMAlgCFB, "ofb": tcg.TPMAlgOFB, "ctr": tcg.TPMAlgCTR,
	}[v.fields[i]]
	if !ok {
		v.t.Fatalf("%s: no algorithm %q", v.where, v.fields[i])
	}
	return a
}

// curve is a field's curve; the file has its number of bits.
func (v vector) curve(i int) tcg.TPMECCCurve {
	return map[string]tcg.TPMECCCurve{
		"224": tcg.TPMECCNistP224, "256": tcg.TPMECCNistP256, "384": tcg.TPMECCNistP384, "521": tcg.TPMECCNistP521,
	}[v.fields[i]]
}

// check compares the outcome of a test with what the file says of it. What is
// acceptable may go either way. A signature of PSS with another size of salt than
// agreed is good here, since VerifyPSS takes any.
func (v vector) check(result string, good bool) {
	v.t.Helper()
	if result == "acceptable" {
		return
	}
	if good != (result == "valid" || result == "othersalt") {
		v.t.Errorf("%s: %v", v.where, good)
	}
}
