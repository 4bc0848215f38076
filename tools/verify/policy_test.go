package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/vtpmmgr/evidence"
)

func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"misspelt field":   `{"requireXsms": true}`,
		"something after":  `{} {}`,
		"no object":        `[]`,
		"short id":         `{"uuids": ["00"]}`,
		"upper case":       `{"managers": ["ABABABABABABABABABABABABABABABAB"]}`,
		"short hash":       `{"images": ["00"]}`,
		"no hex":           `{"managerImages": ["zz"]}`,
		"guard":            `{"guards": ["none"]}`,
		"measurer":         `{"measuredBy": ["guest"]}`,
		"age":              `{"maxAge": "yesterday"}`,
		"negative age":     `{"maxAge": "-5m"}`,
		"PCR 24":           `{"guestPCRs": {"sha256:24": ["00"]}}`,
		"SHA-1 bank":       `{"guestPCRs": {"sha1:0": ["00"]}}`,
		"no values":        `{"hardwarePCRs": {"sha256:0": []}}`,
		"value of a size":  `{"hardwarePCRs": {"sha384:0": ["` + strings.Repeat("0", 64) + `"]}}`,
		"events of PCR 10": `{"guestEvents": {"10": []}}`,
		"events of PCR 04": `{"guestEvents": {"04": []}}`,
		"digest of a size": `{"guestEvents": {"4": ["00"]}}`,
		"negative epoch":   `{"maxEpoch": -1}`,
		"roots is no list": `{"roots": "site.pem"}`,
		"group of 33 bits": `{"groups": [4294967296]}`,
		"empty":            ``,
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestLoadPolicy: files are found beside the policy; what cannot be read is an
// error, and not an empty list.
func TestLoadPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("site.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.site.Certificate.Raw}))
	crl, err := w.site.CRL(1, nil, days(2))
	if err != nil {
		t.Fatal(err)
	}
	write("site.crl", crl)
	p, err := LoadPolicy(write("policy.json", []byte(`{"roots": ["site.pem"], "crls": ["site.crl"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	e := making{w: w, of: w.va}.make()
	if _, err := Verify(marshal(t, e), w.question(), p); err != nil {
		t.Error(err)
	}
	write("empty.pem", nil)
	for _, bad := range []string{`{"roots": ["absent.pem"]}`, `{"roots": ["empty.pem"]}`, `{"crls": ["site.pem"]}`, `{"crls": ["absent"]}`, `{`} {
		if _, err := LoadPolicy(write("bad.json", []byte(bad))); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	if _, err := LoadPolicy(filepath.Join(dir, "absent.json")); err == nil {
		t.Error("a policy that is not there is accepted")
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"uuids": [], "guestPCRs": {"sha256:4": ["` + strings.Repeat("0", 64) + `"]}, "maxAge": "5m"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePolicy(b); err == nil && p.check() != nil {
			t.Error("a policy is accepted once only")
		}
	})
}

// FuzzVerify changes evidence at will: it must be refused with a reason, or be
// the same but for the parts that nothing is bound to, which are the lists and,
// without demands on events, the logs.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	e := making{w: w, of: w.va}.make()
	e.CRLs = w.crls(nil, nil, days(2))
	good := marshal(f, e)
	f.Add(good)
	p := w.strict()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(b, w.question(), p)
		var refusal *Refusal
		if err != nil {
			if r != nil || !errors.As(err, &refusal) || refusal.Reason < Malformed || refusal.Reason > GuestEvents {
				t.Errorf("%v, %v", r, err)
			}
			return
		}
		got, err := evidence.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Statement) != string(e.Statement) || string(got.Proof) != string(e.Proof) {
			t.Error("evidence that nobody made is accepted")
		}
	})
}

// FuzzRevocationLists: what is no list is malformed, never skipped.
func FuzzRevocationLists(f *testing.F) {
	w := newWorld(f)
	f.Add(w.crls(nil, nil, days(2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		lists, err := revocationLists(b, new(Policy))
		if err != nil {
			return
		}
		n := 0
		for _, l := range lists {
			n += len(l.Raw)
		}
		if n != len(b) {
			t.Errorf("%d of %d bytes were read", n, len(b))
		}
	})
}

// FuzzLog: the events of a log that is accepted lead to the quoted values.
func FuzzLog(f *testing.F) {
	v := newWorld(f).va
	f.Add(v.log)
	l, quote := guestLayer(), v.quote(v.ak, evidence.Hash{})
	f.Fuzz(func(t *testing.T, b []byte) {
		q := &quoted{pcrs: quote.PCRs}
		if err := l.checkLog(q, b, true); err != nil {
			return
		}
		pcr4 := make([]byte, 32)
		for _, e := range q.log {
			if e.Index == 4 {
				h := sha256.Sum256(append(pcr4, e.Digest...))
				pcr4 = h[:]
			}
		}
		if !bytes.Equal(pcr4, quote.PCRs[1].Digest) {
			t.Errorf("the events lead to %x", pcr4)
		}
	})
}
