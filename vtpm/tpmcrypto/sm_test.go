//go:build !nosm

package tpmcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"stubtpm/vtpm/tcg"
)

// The example of GB/T 32918.5-2017, annex A.2: the signature of "message
// digest" by the key given there. e is Z and the message in SM3.
func TestSM2Standard(t *testing.T) {
	t.Parallel()
	k, err := NewECCPrivate(tcg.TPMECCSM2P256, unhex(t, "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"))
	if err != nil {
		t.Fatal(err)
	}
	if err := known("09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"+
		"ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13", k.Q.X, k.Q.Y); err != nil {
		t.Fatal(err)
	}
	id := []byte("1234567812345678")
	c := k.Curve
	z := Sum(nil, tcg.TPMAlgSM3256, []byte{0, 128}, id, c.A, c.B, c.Gx, c.Gy, k.Q.X, k.Q.Y)
	if err := known("b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3", z); err != nil {
		t.Error(err)
	}
	if got := k.SM2ID(tcg.TPMAlgSM3256, id); !bytes.Equal(got, z) {
		t.Errorf("SM2ID: %x", got)
	}
	e := Sum(nil, tcg.TPMAlgSM3256, z, []byte("message digest"))
	if err := known("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640", e); err != nil {
		t.Error(err)
	}
	sig := ECCSignature{unhex(t, "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"),
		unhex(t, "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa")}
	if err := k.VerifySM2(e, sig); err != nil {
		t.Errorf("the standard's signature: %v", err)
	}
}

// RSA with SM3, which crypto/rsa does not know, against openssl.
func TestRSASM3(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := testRSA(t, 2048)
	if err := k.prepare(); err != nil {
		t.Fatal(err)
	}
	digest := Sum(nil, tcg.TPMAlgSM3256, []byte("message"))
	write(t, dir, "key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.std)}))
	// OpenSSL 3 takes no SM3 with RSASSA, but shows what was signed.
	ssa, err := k.SignPKCS1v15(tcg.TPMAlgSM3256, digest)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ssa", ssa)
	out, err := openssl(t, dir, "pkeyutl", "-verifyrecover", "-inkey", "key", "-in", "ssa", "-asn1parse")
	if err != nil || !bytes.Contains(out, []byte(":sm3\n")) {
		t.Errorf("RSASSA: %v %s", err, out)
	}
	if out, err = openssl(t, dir, "pkeyutl", "-verifyrecover", "-inkey", "key", "-in", "ssa"); err != nil || !bytes.HasSuffix(out, digest) {
		t.Errorf("RSASSA: %v %x", err, out)
	}
	if err := k.VerifyPKCS1v15(tcg.TPMAlgSM3256, digest, ssa); err != nil {
		t.Error(err)
	}
	pss, err := k.SignPSS(rand.Reader, tcg.TPMAlgSM3256, digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.VerifyPSS(tcg.TPMAlgSM3256, digest, pss); err != nil {
		t.Error(err)
	}
	for i := range pss {
		bad := bytes.Clone(pss)
		bad[i] ^= 1
		if err := k.VerifyPSS(tcg.TPMAlgSM3256, digest, bad); err != ErrSignature {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if err := k.VerifyPSS(tcg.TPMAlgSM3256, digest, pss[1:]); err != ErrSignature {
		t.Errorf("short: %v", err)
	}
	other := bytes.Clone(digest)
	other[0] ^= 1
	if err := k.VerifyPSS(tcg.TPMAlgSM3256, other, pss); err != ErrSignature {
		t.Errorf("another digest: %v", err)
	}
	c, err := k.EncryptOAEP(rand.Reader, tcg.TPMAlgSM3256, nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cipher", c)
	m, err := openssl(t, dir, "pkeyutl", "-decrypt", "-inkey", "key", "-in", "cipher",
		"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sm3", "-pkeyopt", "rsa_mgf1_md:sm3")
	if err != nil || string(m) != "hello" {
		t.Errorf("OAEP: %v %q", err, m)
	}
	ecc := newKey(t, tcg.TPMECCNistP256)
	if _, err := ecc.SignECDSADeterministic(tcg.TPMAlgSM3256, digest); err != ErrHash {
		t.Errorf("RFC 6979 with SM3: %v", err)
	}
}

// The own verification of RSAPSS takes what crypto/rsa signs, with salts of
// any length.
func TestOwnPSS(t *testing.T) {
	t.Parallel()
	k := testRSA(t, 2048)
	if err := k.prepare(); err != nil {
		t.Fatal(err)
	}
	digest := Sum(nil, tcg.TPMAlgSHA384, []byte("message"))
	for _, n := range []int{1, 20, 48, 256 - 48 - 2} {
		sig, err := rsa.SignPSS(rand.Reader, k.std, crypto.SHA384, digest, &rsa.PSSOptions{SaltLength: n})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.ownVerifyPSS(tcg.TPMAlgSHA384, digest, sig); err != nil {
			t.Errorf("salt of %d: %v", n, err)
		}
		sig[9] ^= 4
		if err := k.ownVerifyPSS(tcg.TPMAlgSHA384, digest, sig); err != ErrSignature {
			t.Errorf("salt of %d, changed: %v", n, err)
		}
	}
}
