package property

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"testing"
)

func newSigners(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	r, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": p256, "P-384": p384, "RSA": r}
}

func mustParse(t testing.TB, s string, log []byte) []PCR {
	t.Helper()
	pcrs, err := parsePCRs(s, log)
	if err != nil {
		t.Fatal(err)
	}
	return pcrs
}

var kernel = "sha256:4=" + strings.Repeat("ab", 32)

// TestEveryBit: an approval in which one bit is another one is refused.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	for name, key := range newSigners(t) {
		pcrs := append(mustParse(t, kernel, nil), mustParse(t, "sha384:9="+strings.Repeat("cd", 48), nil)...)
		a, err := Approve(key, []byte("kernel"), pcrs)
		if err != nil {
			t.Fatal(err)
		}
		good := a.files()
		if _, err := parse(good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for file, b := range good {
			for i := 0; i < 8*len(b); i += step(file) {
				bad := maps.Clone(good)
				bad[file] = bytes.Clone(b)
				bad[file][i/8] ^= 1 << (i % 8)
				if _, err := parse(bad); !errors.Is(err, ErrRefused) {
					t.Errorf("%s: bit %d of %s: %v", name, i, file, err)
				}
			}
			bad := maps.Clone(good)
			bad[file] = append(bytes.Clone(b), 0)
			if _, err := parse(bad); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: a byte after %s: %v", name, file, err)
			}
		}
	}
}

// TestLog: the values are those to which the events lead.
func TestLog(t *testing.T) {
	t.Parallel()
	log := newLog().add(0, noAction, "StartupLocality\x00\x03").add(0, 8, "firmware").add(4, ipl, "loader").add(4, ipl, "kernel").add(9, ipl, "initrd").b
	for s, want := range map[string][]byte{
		"0": extended(3, "firmware"), "sha256:4": extended(0, "loader", "kernel"), "sha256:4,9": append(extended(0, "loader", "kernel"), extended(0, "initrd")...),
	} {
		if got, err := parsePCRs(s, log); err != nil || !bytes.Equal(values(got), want) {
			t.Errorf("%s: %v, %x", s, err, values(got))
		}
	}
	started := newLog().add(0, hcrtm, "HCRTM").add(0, 8, "firmware").b
	if got, err := parsePCRs("0", started); err != nil || !bytes.Equal(values(got), extended(4, "HCRTM", "firmware")) {
		t.Errorf("HCRTM: %v, %x", err, values(got))
	}
	for _, s := range []string{"8", "sha384:4", "sha512:4", "4,8"} {
		if _, err := parsePCRs(s, log); err == nil {
			t.Errorf("a value of %s, although the log has not all events", s)
		}
	}
	for n := range len(log) {
		if got, err := parsePCRs("9", log[:n]); err == nil {
			t.Errorf("%d bytes of the log lead to %x", n, values(got))
		}
	}
}

// step is 1, but for the files where most bits cost a verification of a signature.
func step(file string) int {
	if file == signatureFile && testing.Short() {
		return 13
	}
	return 1
}

func TestPCRsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "4", "=", "sha256:4=", "sha256:4=ab", "sha256:24=" + strings.Repeat("ab", 32), "sha256:04=" + strings.Repeat("ab", 32),
		"sha256:-1=" + strings.Repeat("ab", 32), "md5:4=" + strings.Repeat("ab", 32), "sha256:4,5=" + strings.Repeat("ab", 32), "sha384:4=" + strings.Repeat("ab", 32)} {
		if pcrs, err := parsePCRs(s, nil); err == nil {
			t.Errorf("%q: %v", s, pcrs)
		}
	}
	key := newSigners(t)["P-256"]
	one := mustParse(t, kernel, nil)
	for name, pcrs := range map[string][]PCR{"no PCR": nil, "one twice": append(one, one...)} {
		if _, err := Approve(key, []byte("kernel"), pcrs); err == nil {
			t.Errorf("%s is approved", name)
		}
	}
	for _, ref := range []string{"", strings.Repeat("r", 33)} {
		if _, err := Approve(key, []byte(ref), one); err == nil {
			t.Errorf("reference %q is approved", ref)
		}
	}
}

// TestPolicyNames: another key or reference is another policy.
func TestPolicyNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range newSigners(t) {
		k, err := NewKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"kernel", "kernel\x00", "Kernel"} {
			d, err := k.Policy([]byte(ref))
			if err != nil || len(d) != 32 || seen[string(d)] {
				t.Errorf("%q: %x, %v", ref, d, err)
			}
			seen[string(d)] = true
		}
	}
}

// TestKeysRefused: a key that a TPM cannot have is refused before it signs.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	p224, err1 := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	small, err2 := rsa.GenerateKey(rand.Reader, 1024)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.PublicKey{p224.Public(), small.Public(), nil, "key", &rsa.PublicKey{N: newSigners(t)["RSA"].(*rsa.PrivateKey).N, E: 3}} {
		if _, err := NewKey(key); err == nil {
			t.Errorf("%T is taken", key)
		}
	}
}

// FuzzApproval: what is read is what is written.
func FuzzApproval(f *testing.F) {
	for _, key := range newSigners(f) {
		a, err := Approve(key, []byte("kernel"), mustParse(f, kernel, nil))
		if err != nil {
			f.Fatal(err)
		}
		w := a.files()
		f.Add(w[keyFile], w[nameFile], w[refFile], w[pcrsFile], w[valuesFile], w[approvedFile], w[messageFile], w[signatureFile])
	}
	f.Fuzz(func(t *testing.T, key, name, ref, pcrs, values, approved, message, signature []byte) {
		in := map[string][]byte{keyFile: key, nameFile: name, refFile: ref, pcrsFile: pcrs, valuesFile: values, approvedFile: approved, messageFile: message, signatureFile: signature}
		a, err := parse(in)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			return
		}
		for file, b := range a.files() {
			if !bytes.Equal(b, in[file]) {
				t.Errorf("%s", file)
			}
		}
	})
}

// FuzzLog: an event log leads to values, or to an error.
func FuzzLog(f *testing.F) {
	f.Add("sha256:4,9", newLog().add(4, ipl, "kernel").add(9, ipl, "initrd").b)
	f.Add("0", newLog().add(0, hcrtm, "HCRTM").b)
	f.Add(kernel, []byte(nil))
	f.Fuzz(func(t *testing.T, s string, log []byte) {
		pcrs, err := parsePCRs(s, log)
		if err != nil || sortPCRs(pcrs) != nil {
			return
		}
		_, text := selection(pcrs)
		if again, err := parseSelection(text, values(pcrs)); err != nil || !bytes.Equal(values(again), values(pcrs)) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

// FuzzKey: a key in PEM has one public area.
func FuzzKey(f *testing.F) {
	for _, key := range newSigners(f) {
		b, err := publicPEM(key.Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parsePublic(b)
		if err != nil {
			return
		}
		if again, err := parseArea(k.area()); err != nil || !bytes.Equal(again.name, k.name) {
			t.Errorf("%v: %s", err, hex.EncodeToString(k.area()))
		}
	})
}
