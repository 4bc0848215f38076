package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
)

// openssl runs the command in dir and returns its output.
func openssl(t *testing.T, dir string, args ...string) ([]byte, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl command to compare with")
	}
	c := exec.Command(path, args...)
	c.Dir = dir
	return c.CombinedOutput()
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// OpenSSL takes the RSA signatures and ciphertexts of the self-tests.
func TestRSAOpenSSL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, digest, err := new(katRSA).get()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.prepare(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.std)}))
	write(t, dir, "digest", digest)
	for name, v := range map[string]struct {
		in   string
		opts string
	}{
		"ssa": {katRSASSA, "rsa_padding_mode:pkcs1 digest:sha256"},
		"pss": {katRSAPSS, "rsa_padding_mode:pss digest:sha256 rsa_pss_saltlen:32 rsa_mgf1_md:sha256"},
	} {
		write(t, dir, name, unhex(t, v.in))
		args := []string{"pkeyutl", "-verify", "-inkey", "key", "-in", "digest", "-sigfile", name}
		for _, o := range strings.Fields(v.opts) {
			args = append(args, "-pkeyopt", o)
		}
		if out, err := openssl(t, dir, args...); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	for name, v := range map[string]struct {
		in   string
		opts string
	}{
		"es":   {katRSAES, "rsa_padding_mode:pkcs1"},
		"oaep": {katRSAOAEP, "rsa_padding_mode:oaep rsa_oaep_md:sha256 rsa_mgf1_md:sha256 rsa_oaep_label:" + hex.EncodeToString([]byte("SELFTEST\x00"))},
	} {
		write(t, dir, name, unhex(t, v.in))
		args := []string{"pkeyutl", "-decrypt", "-inkey", "key", "-in", name}
		for _, o := range strings.Fields(v.opts) {
			args = append(args, "-pkeyopt", o)
		}
		if out, err := openssl(t, dir, args...); err != nil || string(out) != "abc" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	write(t, dir, "raw", unhex(t, katRSARaw))
	out, err := openssl(t, dir, "pkeyutl", "-encrypt", "-inkey", "key", "-in", "raw", "-pkeyopt", "rsa_padding_mode:none")
	if err != nil || !bytes.HasSuffix(out, digest) {
		t.Errorf("raw: %v %x", err, out)
	}
	if out, err := openssl(t, dir, "rsa", "-in", "key", "-check", "-noout"); err != nil || !bytes.Contains(out, []byte("ok")) {
		t.Errorf("key: %v %s", err, out)
	}
}

// ecDER is RFC 5915's ECPrivateKey.
type ecDER struct {
	Version int
	Private []byte
	Curve   asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	Public  asn1.BitString        `asn1:"explicit,tag:1"`
}

// OpenSSL has three of the curves that the standard library lacks or is about
// to lose: it must make the same public point and secret, and take signatures.
func TestECCOpenSSL(t *testing.T) {
	t.Parallel()
	for id, oid := range map[tcg.TPMECCCurve]asn1.ObjectIdentifier{
		tcg.TPMECCNistP192: {1, 2, 840, 10045, 3, 1, 1},
		tcg.TPMECCNistP224: {1, 3, 132, 0, 33},
		tcg.TPMECCSM2P256:  {1, 2, 156, 10197, 1, 301},
	} {
		if id == tcg.TPMECCSM2P256 && !HasSM {
			continue
		}
		dir := t.TempDir()
		a, b := newKey(t, id), newKey(t, id)
		for name, k := range map[string]*ECCPrivate{"a": a, "b": b} {
			der, err := asn1.Marshal(ecDER{1, k.Scalar(), oid, asn1.BitString{
				Bytes: bytes.Join([][]byte{{4}, k.Q.X, k.Q.Y}, nil), BitLength: 8 * (1 + 2*k.Curve.Size)}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
			if out, err := openssl(t, dir, "pkey", "-in", name, "-check", "-noout"); err != nil {
				t.Errorf("%#x: openssl refuses the key: %v %s", id, err, out)
			}
			if out, err := openssl(t, dir, "pkey", "-in", name, "-pubout", "-out", name+".pub"); err != nil {
				t.Fatalf("%v %s", err, out)
			}
		}
		if id != tcg.TPMECCSM2P256 { // openssl derives no secret with SM2 keys
			z, err := a.ECDH(b.Q)
			if err != nil {
				t.Fatal(err)
			}
			out, err := openssl(t, dir, "pkeyutl", "-derive", "-inkey", "a", "-peerkey", "b.pub")
			if err != nil || !bytes.Equal(out, z.X) {
				t.Errorf("%#x: secret %x, openssl %v %x", id, z.X, err, out)
			}
		}
		digest := Sum(nil, tcg.TPMAlgSHA256, []byte("message"))
		sign, verify := a.SignECDSA, a.VerifyECDSA
		if id == tcg.TPMECCSM2P256 {
			sign, verify = a.SignSM2, a.VerifySM2
		}
		sig, err := sign(rand.Reader, digest)
		if err != nil {
			t.Fatal(err)
		}
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig.R), new(big.Int).SetBytes(sig.S)})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "sig", der)
		write(t, dir, "digest", digest)
		if out, err := openssl(t, dir, "pkeyutl", "-verify", "-inkey", "a", "-in", "digest", "-sigfile", "sig"); err != nil {
			t.Errorf("%#x: openssl refuses the signature: %v %s", id, err, out)
		}
		if out, err := openssl(t, dir, "pkeyutl", "-sign", "-inkey", "a", "-in", "digest", "-out", "theirs"); err != nil {
			t.Fatalf("%#x: %v %s", id, err, out)
		}
		der, err = os.ReadFile(filepath.Join(dir, "theirs"))
		if err != nil {
			t.Fatal(err)
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			t.Fatal(err)
		}
		if err := verify(digest, ECCSignature{rs.R.Bytes(), rs.S.Bytes()}); err != nil {
			t.Errorf("%#x: we refuse openssl's signature: %v", id, err)
		}
	}
}
