package command_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// der encodes what Go's encoder takes.
func der(t *testing.T, v any, params string) []byte {
	t.Helper()
	b, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// derSequence is a SEQUENCE of elements that are encoded already.
func derSequence(t *testing.T, elements ...[]byte) []byte {
	t.Helper()
	return der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(elements, nil)}, "")
}

// derElements takes a SEQUENCE apart.
func derElements(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	var raw []asn1.RawValue
	if rest, err := asn1.Unmarshal(b, &raw); err != nil || len(rest) != 0 {
		t.Fatalf("%x: %v", b, err)
	}
	for _, v := range raw {
		all = append(all, v.FullBytes)
	}
	return all
}

// partial makes a partial certificate with Go's own encoder.
func partial(t *testing.T, algorithm []byte, extensions ...pkix.Extension) []byte {
	t.Helper()
	name := func(s string) []byte { return der(t, pkix.Name{CommonName: s}.ToRDNSequence(), "") }
	validity := der(t, struct{ NotBefore, NotAfter time.Time }{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)}, "")
	return derSequence(t, algorithm, name("issuer"), validity, name("subject"), der(t, extensions, "explicit,tag:3"))
}

// keyUsage is the Key Usage extension (RFC 5280, 4.2.1.3).
func keyUsage(t *testing.T, bits byte) pkix.Extension {
	t.Helper()
	value := der(t, asn1.BitString{Bytes: []byte{bits}, BitLength: 8}, "")
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: value}
}

// objectExtension is the TPMA_OBJECT extension (Part 3, 18.8.1).
func objectExtension(t *testing.T, a tcg.TPMAObject) pkix.Extension {
	t.Helper()
	value := der(t, asn1.BitString{Bytes: binary.BigEndian.AppendUint32(nil, uint32(a)), BitLength: 32}, "")
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 23, 133, 10, 1, 1, 1}, Value: value}
}

// assemble puts the certificate together from what the caller has and what the TPM
// added.
func assemble(t *testing.T, part, added []byte, sig tcg.TPMTSignature) *x509.Certificate {
	t.Helper()
	p, a := derElements(t, part), derElements(t, added)
	algorithm := a[2]
	if len(p) == 5 {
		algorithm, p = p[0], p[1:]
	}
	tbs := derSequence(t, a[0], a[1], algorithm, p[0], p[1], p[2], a[len(a)-1], p[3])
	value := sig.Sig
	if sig.SigAlg == tcg.TPMAlgECDSA {
		value = der(t, struct{ R, S *big.Int }{new(big.Int).SetBytes(sig.R), new(big.Int).SetBytes(sig.S)}, "")
	}
	b := derSequence(t, tbs, algorithm, der(t, asn1.BitString{Bytes: value, BitLength: 8 * len(value)}, ""))
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
	return cert
}

// ecdsaWithSHA256 is the AlgorithmIdentifier of RFC 5758, 3.2.
var ecdsaWithSHA256, _ = hex.DecodeString("300a06082a8648ce3d040302")

// TestCertifyX509 has certificates made, and Go's crypto/x509 verify them (Part 3,
// 18.8).
func TestCertifyX509(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	sha512, rsassa384 := ecdsa, rsassa
	sha512.HashAlg, rsassa384.HashAlg = tcg.TPMAlgSHA512, tcg.TPMAlgSHA384
	rp, rs := outsideRSA(t, sign)
	ecc := tpm.Primary(owner, tpmtest.ECC(sign|tcg.TPMAObjectX509Sign), none).Handle
	for _, c := range []struct {
		name      string
		key       tcg.TPMHandle
		algorithm []byte // that the caller gives
		scheme    tcg.TPMTAsymScheme
	}{
		{"ECDSA with SHA-256", ecc, nil, ecdsa},
		{"ECDSA with SHA-256, given by the caller", ecc, ecdsaWithSHA256, ecdsa},
		{"ECDSA with SHA-512", ecc, nil, sha512},
		{"RSASSA with SHA-384", external(tpm, rp, &rs), nil, rsassa384},
	} {
		t.Log(c.name)
		part := partial(t, c.algorithm, keyUsage(t, 0x80|0x04), objectExtension(t, tpm.Public(c.key).ObjectAttributes))
		var serials []string
		for range 2 {
			r := tpm.Do(tcg.TPMCCCertifyX509, handles{c.key, c.key}, nil, nil, c.scheme, part)
			added, digest := take(r), take(r)
			cert := assemble(t, part, added, signature(r))
			if !bytes.Equal(digest, sum(c.scheme.HashAlg, cert.RawTBSCertificate)) {
				t.Error("tbsDigest is not that of the certificate")
			}
			if c.algorithm != nil && bytes.Contains(added, c.algorithm) {
				t.Error("what the caller gave comes back")
			}
			if cert.Issuer.CommonName != "issuer" || cert.Subject.CommonName != "subject" ||
				cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign {
				t.Errorf("issuer %v, subject %v, usage %v", cert.Issuer, cert.Subject, cert.KeyUsage)
			}
			serials = append(serials, cert.SerialNumber.String())
		}
		if serials[0] == serials[1] {
			t.Error("the same serial number twice")
		}
	}
}

// TestCertifyX509Usage: a key is certified for what its attributes allow (Part 2,
// "TPMA_X509_KEY_USAGE").
func TestCertifyX509Usage(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	signs := tpm.Primary(owner, tpmtest.ECC(sign|tpmtest.Fixed), none).Handle
	stores := tpm.Primary(owner, storage(), none).Handle
	leaves := tpm.Primary(owner, tpmtest.ECC(sign), none).Handle
	decrypts := tpm.Primary(owner, tpmtest.ECC(decrypt), none).Handle
	for _, c := range []struct {
		usage string
		bits  byte
		may   []tcg.TPMHandle
	}{
		{"digitalSignature", 0x80, []tcg.TPMHandle{signs, leaves}},
		{"contentCommitment", 0x40, []tcg.TPMHandle{signs, stores}},
		{"keyEncipherment", 0x20, []tcg.TPMHandle{stores}},
		{"dataEncipherment", 0x10, []tcg.TPMHandle{stores, decrypts}},
		{"keyAgreement", 0x08, []tcg.TPMHandle{stores, decrypts}},
		{"keyCertSign", 0x04, []tcg.TPMHandle{signs, leaves}},
		{"cRLSign", 0x02, []tcg.TPMHandle{signs, leaves}},
		{"encipherOnly", 0x01, []tcg.TPMHandle{stores, decrypts}},
		{"keyCertSign and keyAgreement", 0x0C, nil},
	} {
		for _, key := range []tcg.TPMHandle{signs, stores, leaves, decrypts} {
			want := tcg.TPMRCAttributes.P(3)
			if slices.Contains(c.may, key) {
				want = tcg.TPMRCSuccess
			}
			r := tpm.Run(tcg.TPMCCCertifyX509, handles{key, signs}, nil, nil, ecdsa, partial(t, nil, keyUsage(t, c.bits)))
			if r.Code != want {
				t.Errorf("%s of key %#x: %v, not %v", c.usage, key, r.Code, want)
			}
		}
	}
}

func TestCertifyX509Codes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCertifyX509)
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none)
	key, usage := signs.Handle, keyUsage(t, 0x80)
	cert := partial(t, nil, usage)
	row := func(rc tcg.TPMRC, why string, object, signer tcg.TPMHandle, scheme any, partial []byte) {
		t.Helper()
		c.row(rc, why, handles{object, signer}, nil, scheme, partial)
	}
	mac := tpm.Primary(owner, tpmtest.HMAC(0), none).Handle
	row(tcg.TPMRCKey.H(1), "an HMAC key is certified", mac, key, ecdsa, cert)
	row(tcg.TPMRCKey.H(1), "a sequence is certified", sequence(tpm), key, ecdsa, cert)
	row(tcg.TPMRCKey.H(2), "an HMAC key signs", key, mac, ecdsa, cert)
	row(tcg.TPMRCKey.H(2), "a sequence signs", key, sequence(tpm), ecdsa, cert)
	row(tcg.TPMRCKey.H(2), "a key that decrypts signs", key, tpm.Primary(owner, tpmtest.ECC(decrypt), none).Handle, ecdsa, cert)
	row(tcg.TPMRCValue.H(2), "no key signs", key, null, ecdsa, cert)
	row(tcg.TPMRCScheme.P(2), "no scheme at all", key, key, nil, cert)
	row(tcg.TPMRCScheme.P(2), "a scheme for RSA", key, key, rsassa, cert)
	row(tcg.TPMRCScheme.P(2), "a scheme that no certificate has a name for", key, key, ecschnorr, cert)
	row(tcg.TPMRCSuccess, "the same, but the caller names it", key, key, ecschnorr, partial(t, ecdsaWithSHA256, usage))
	row(tcg.TPMRCAttributes.P(3), "other attributes than the object's", key, key, ecdsa, partial(t, nil, usage, objectExtension(t, 0)))
	row(tcg.TPMRCAuthUnavailable, "a public key", external(tpm, signs.Public, nil), key, ecdsa, cert)
	c.row(tcg.TPMRCSize.P(1), "what is reserved is there", handles{key, key}, "x", ecdsa, cert)

	bits := usage
	bits.Value = der(t, asn1.BitString{Bytes: make([]byte, 5), BitLength: 40}, "")
	short := objectExtension(t, signs.Public.ObjectAttributes)
	short.Value = der(t, asn1.BitString{Bytes: make([]byte, 3), BitLength: 24}, "")
	other := usage
	other.Value = der(t, 7, "")
	elements := derElements(t, cert)
	for why, b := range map[string][]byte{
		"nothing":                     nil,
		"a certificate that is cut":   cert[:len(cert)-1],
		"one byte more":               append(bytes.Clone(cert), 0),
		"three elements":              derSequence(t, elements[1:]...),
		"six elements":                derSequence(t, append([][]byte{elements[0], elements[0]}, elements...)...),
		"an issuer that is a number":  derSequence(t, append([][]byte{der(t, 7, "")}, elements[1:]...)...),
		"an algorithm that is one":    derSequence(t, append([][]byte{der(t, 7, "")}, elements...)...),
		"extensions without a tag":    derSequence(t, elements[0], elements[1], elements[2], elements[2]),
		"no key usage":                partial(t, nil, objectExtension(t, signs.Public.ObjectAttributes)),
		"two key usages":              partial(t, nil, usage, usage),
		"two sets of attributes":      partial(t, nil, usage, short, short),
		"a key usage of 40 bits":      partial(t, nil, bits),
		"attributes of 24 bits":       partial(t, nil, usage, short),
		"a key usage that is no bits": partial(t, nil, other),
	} {
		row(tcg.TPMRCValue.P(3), why, key, key, ecdsa, b)
	}
	row(tcg.TPMRCSuccess, "after all that", key, key, ecdsa, cert)
}
