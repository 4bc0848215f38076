package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestECCEncrypt(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		for _, alg := range Hashes() {
			for _, n := range []int{1, 32, 200} {
				m := bytes.Repeat([]byte{7}, n)
				c1, c2, c3, err := k.Encrypt(rand.Reader, alg, m)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := k.Decrypt(alg, c1, c2, c3); err != nil || !bytes.Equal(got, m) {
					t.Errorf("%#x %#x: %x, %v", id, alg, got, err)
				}
				c2[0] ^= 1
				if got, err := k.Decrypt(alg, c1, c2, c3); err != ErrValue || got != nil {
					t.Errorf("%#x %#x: changed ciphertext: %x, %v", id, alg, got, err)
				}
			}
		}
		if _, err := k.Decrypt(tcg.TPMAlgSHA256, Point{k.Q.X, k.Q.X}, nil, nil); err != ErrPoint {
			t.Errorf("%#x: bad point: %v", id, err)
		}
		if _, _, _, err := k.Encrypt(rand.Reader, tcg.TPMAlgNull, []byte{1}); err != ErrHash {
			t.Error(err)
		}
		if _, _, _, err := k.Encrypt(rand.Reader, tcg.TPMAlgSHA256, nil); err != ErrValue {
			t.Error(err)
		}
	}
}

// OpenSSL's SM2 encryption is the same scheme.
func TestECCEncryptOpenSSL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := newKey(t, tcg.TPMECCSM2P256)
	der, err := asn1.Marshal(ecDER{1, k.Scalar(), asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}, asn1.BitString{
		Bytes: bytes.Join([][]byte{{4}, k.Q.X, k.Q.Y}, nil), BitLength: 8 * 65}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	write(t, dir, "plain", []byte("a message"))
	if out, err := openssl(t, dir, "pkeyutl", "-encrypt", "-inkey", "key", "-in", "plain", "-out", "cipher", "-pkeyopt", "digest:sha256"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if der, err = os.ReadFile(filepath.Join(dir, "cipher")); err != nil {
		t.Fatal(err)
	}
	var c struct {
		X, Y           *big.Int
		Digest, Cipher []byte
	}
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		t.Fatal(err)
	}
	m, err := k.Decrypt(tcg.TPMAlgSHA256, Point{c.X.Bytes(), c.Y.Bytes()}, c.Cipher, c.Digest)
	if err != nil || string(m) != "a message" {
		t.Errorf("OpenSSL's ciphertext: %q, %v", m, err)
	}
	c1, c2, c3, err := k.Encrypt(rand.Reader, tcg.TPMAlgSHA256, []byte("a message"))
	if err != nil {
		t.Fatal(err)
	}
	c.X, c.Y, c.Digest, c.Cipher = new(big.Int).SetBytes(c1.X), new(big.Int).SetBytes(c1.Y), c3, c2
	if der, err = asn1.Marshal(c); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cipher", der)
	out, err := openssl(t, dir, "pkeyutl", "-decrypt", "-inkey", "key", "-in", "cipher", "-pkeyopt", "digest:sha256")
	if err != nil || string(out) != "a message" {
		t.Errorf("OpenSSL decrypts ours to %q, %v", out, err)
	}
}
