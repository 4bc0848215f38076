package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// rsaKey returns a number of the size of an RSA modulus, as a key.
func rsaKey(bits, e int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: e}
}

// hugeChain returns a certificate with a signature of some bytes that claims to be by
// a CA with an RSA key, and that CA's certificate.
func hugeChain(t *testing.T, key *rsa.PublicKey, signed int) (leaf, ca *x509.Certificate) {
	t.Helper()
	k := newKey(t)
	parent := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "X"}, NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, 30),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}
	top := &x509.Certificate{Subject: pkix.Name{CommonName: "Y"}}
	der, err := x509.CreateCertificate(rand.Reader, parent, top, key, k)
	ca = parsed(t, der, err)
	der, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(6), NotBefore: parent.NotBefore, NotAfter: parent.NotAfter}, parent, k.Public(), k)
	leaf = parsed(t, der, err)
	ecdsaID, err1 := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}})
	rsaID, err2 := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue})
	var tbs asn1.RawValue
	_, err3 := asn1.Unmarshal(leaf.RawTBSCertificate, &tbs)
	inner, err4 := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Replace(tbs.Bytes, ecdsaID, rsaID, 1)})
	signature, err5 := asn1.Marshal(asn1.BitString{Bytes: append(make([]byte, signed-1), 3), BitLength: 8 * signed})
	der, err6 := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(inner, rsaID, signature)})
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	return parsed(t, der, nil), ca
}

// TestHugeKeys: a key or signature out of limits is refused for that, wherever it
// stands, and before a signature is verified. At the limits it is verified.
func TestHugeKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := making{w: w, of: w.va}.make()
	for _, x := range []struct {
		name   string
		key    *rsa.PublicKey
		signed int
		within bool
	}{
		{"limit", rsaKey(maxRSABits, 1<<31-1), maxSigned, true}, {"a bit more", rsaKey(maxRSABits+1, 65537), maxSigned, false},
		{"long signature", rsaKey(2048, 65537), maxSigned + 1, false}, {"huge", rsaKey(100_000, 1<<31-1), 12_500, false},
		{"small", rsaKey(1023, 65537), 128, false}, {"exponent 1", rsaKey(2048, 1), 256, false}, {"exponent 2^31 + 1", rsaKey(2048, 1<<31+1), 256, false},
		{"even exponent", rsaKey(2048, 65536), 256, false},
	} {
		leaf, ca := hugeChain(t, x.key, x.signed)
		appraise := func(where string, err error) {
			t.Helper()
			var r *Refusal
			if !errors.As(err, &r) || (r.Reason == Malformed) == x.within {
				t.Errorf("%s: %s: %v", x.name, where, err)
			}
		}
		forged := *e
		forged.Chain = slices.Concat(leaf.Raw, ca.Raw)
		_, err := Verify(marshal(t, &forged), w.question(), w.lax())
		appraise("chain", err)
		if x.signed <= maxSigned && len(ca.Raw) < 4096 { // the largest EK certificate in evidence
			forged.Chain, forged.EK = e.Chain, ca.Raw
			_, err = Verify(marshal(t, &forged), w.question(), w.lax())
			appraise("EK", err)
		}
		_, err = VerifyEK(&Endorsement{Certificate: leaf, Chain: []*x509.Certificate{ca}, Now: now}, w.lax())
		appraise("verify-ek", err)
		_, err = HardwareEK(leaf, []*x509.Certificate{ca}, []*x509.Certificate{w.site.Certificate}, now)
		appraise("hardware", err)
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
		if x.signed <= maxSigned && (w.lax().AddRoots(text) == nil) != x.within {
			t.Errorf("%s: root", x.name)
		}
		if _, err := checkSignature(x.key, nil, tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgRSASSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSASSA,
			&tpm2.TPMSSignatureRSA{Hash: tpm2.TPMAlgSHA256, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 256)}})})); err == nil ||
			x.signed <= maxSigned && strings.Contains(err.Error(), "RSA key") == x.within {
			t.Errorf("%s: quote: %v", x.name, err)
		}
	}
}

// TestHugeKeyInStore: one file of a folder that is out of limits is as good as absent.
func TestHugeKeyInStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, ca := hugeChain(t, rsaKey(20_000, 65537), 256)
	dir := t.TempDir()
	for name, c := range map[string]*x509.Certificate{"a.der": ca, "b.der": w.site.Certificate} {
		if err := os.WriteFile(filepath.Join(dir, name), c.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if certs, err := readCertificates(dir); err != nil || len(certs) != 1 || !certs[0].Equal(w.site.Certificate) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
}

// lax is a policy that asks nothing but the site.
func (w *world) lax() *Policy {
	p := new(Policy)
	p.roots = append(p.roots, w.site.Certificate)
	return p
}
