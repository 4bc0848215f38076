package site

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFileKey: a key comes back with its passphrase only.
func TestFileKey(t *testing.T) {
	t.Parallel()
	for _, pass := range []string{"", "correct horse"} {
		dir := t.TempDir()
		made, err := newFileKey(dir, []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		got, err := loadFileKey(dir, []byte(pass))
		if err != nil || !got.(*ecdsa.PrivateKey).Equal(made) {
			t.Errorf("%q: %v", pass, err)
		}
		if pass == "" {
			continue
		}
		for _, other := range []string{"", "wrong"} {
			if _, err := loadFileKey(dir, []byte(other)); err == nil {
				t.Errorf("the key opens with %q", other)
			}
		}
	}
}

// TestFileKeyOpenSSL: another program reads the file.
func TestFileKeyOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: that it reads the site's key was not tested")
	}
	dir := t.TempDir()
	if _, err := newFileKey(dir, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for pass, good := range map[string]bool{"secret": true, "other": false} {
		out, err := exec.Command("openssl", "pkey", "-in", filepath.Join(dir, keyFile), "-passin", "pass:"+pass, "-noout", "-text").CombinedOutput()
		if (err == nil && strings.Contains(string(out), "P-256")) != good {
			t.Errorf("%s: %v\n%s", pass, err, out)
		}
	}
}

func TestFileKeyRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		put(t, filepath.Join(dir, keyFile), []byte(text))
		if _, err := loadFileKey(dir, []byte("x")); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

// TestTPMKey: a key in a TPM signs with its passphrase in that TPM only, and
// leaves nothing loaded there.
func TestTPMKey(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), newChip(t)
	made, err := newTPMKey(dir, c, []byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	for range 5 { // more than a TPM has room for
		got, err := loadTPMKey(dir, c, []byte("pass"))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := got.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil || !ecdsa.VerifyASN1(made.Public().(*ecdsa.PublicKey), digest[:], sig) {
			t.Fatal(err)
		}
	}
	for what, k := range map[string]func() (crypto.Signer, error){
		"another passphrase": func() (crypto.Signer, error) { return loadTPMKey(dir, c, []byte("other")) },
		"another TPM":        func() (crypto.Signer, error) { return loadTPMKey(dir, newChip(t), []byte("pass")) },
	} {
		s, err := k()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil || !strings.HasPrefix(err.Error(), "site: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := made.Sign(rand.Reader, make([]byte, 48), crypto.SHA384); err == nil {
		t.Error("another hash")
	}
}
