package command

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// partial makes a partial certificate with Go's own encoder.
func partial(t *testing.T, algorithm []byte, extensions []pkix.Extension) []byte {
	t.Helper()
	marshal := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	issuer := marshal(pkix.Name{CommonName: "issuer"}.ToRDNSequence())
	subject := marshal(pkix.Name{CommonName: "subject"}.ToRDNSequence())
	validity := marshal(struct{ NotBefore, NotAfter time.Time }{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)})
	list, err := asn1.MarshalWithParams(extensions, "explicit,tag:3")
	if err != nil {
		t.Fatal(err)
	}
	b, err := derSequence(algorithm, issuer, validity, subject, list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyUsage(t *testing.T, bits byte) pkix.Extension {
	t.Helper()
	b, err := asn1.Marshal(asn1.BitString{Bytes: []byte{bits}, BitLength: 8})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidKeyUsage, Critical: true, Value: b}
}

func objectExtension(t *testing.T, a tcg.TPMAObject) pkix.Extension {
	t.Helper()
	b, err := asn1.Marshal(asn1.BitString{Bytes: binary.BigEndian.AppendUint32(nil, uint32(a)), BitLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidTPMAObject, Value: b}
}

// x509 is TPM2_CertifyX509.
func (x rawTPM) x509(rc tcg.TPMRC, object, signer tcg.TPMHandle, scheme tcg.TPMTSigScheme, partial []byte) (added, sum []byte, sig tcg.TPMTSignature) {
	x.t.Helper()
	r := x.want(rc, tcg.TPMCCCertifyX509, handles(object, signer), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Uint16(uint16(scheme.Scheme))
		if scheme.Scheme != tcg.TPMAlgNull {
			w.Uint16(uint16(scheme.HashAlg))
		}
		w.Sized(partial)
	})
	if rc != tcg.TPMRCSuccess {
		return nil, nil, sig
	}
	added, sum = bytes.Clone(r.Sized(4096)), bytes.Clone(r.Sized(64))
	sig.Unmarshal(&r)
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		x.t.Fatalf("response: %v, %d bytes are left", r.Err(), r.Len())
	}
	return added, sum, sig
}

// assemble puts the certificate together from what the caller has and what the
// TPM added.
func assemble(t *testing.T, part, added []byte, sig tcg.TPMTSignature) []byte {
	t.Helper()
	split := func(b []byte) (all [][]byte) {
		in := cryptobyte.String(b)
		var body cryptobyte.String
		if !in.ReadASN1(&body, casn1.SEQUENCE) {
			t.Fatal("no sequence")
		}
		for !body.Empty() {
			var e cryptobyte.String
			var tag casn1.Tag
			if !body.ReadAnyASN1Element(&e, &tag) {
				t.Fatal("no element")
			}
			all = append(all, e)
		}
		return all
	}
	p, a := split(part), split(added)
	algorithm := a[2]
	if len(p) == 5 {
		algorithm, p = p[0], p[1:]
	}
	tbs, err := derSequence(a[0], a[1], algorithm, p[0], p[1], p[2], a[len(a)-1], p[3])
	if err != nil {
		t.Fatal(err)
	}
	var value []byte
	if sig.SigAlg == tcg.TPMAlgECDSA {
		value, err = asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig.R), new(big.Int).SetBytes(sig.S)})
	} else {
		value = sig.Sig
	}
	if err != nil {
		t.Fatal(err)
	}
	bits, err := asn1.Marshal(asn1.BitString{Bytes: value, BitLength: 8 * len(value)})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := derSequence(tbs, algorithm, bits)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func rsaTemplate(attributes tcg.TPMAObject) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgRSA, NameAlg: tcg.TPMAlgSHA256,
		ObjectAttributes: attributes | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth}
	p.RSA.KeyBits = 2048
	p.RSA.Scheme.Scheme = tcg.TPMAlgNull
	p.RSA.Symmetric.Algorithm = tcg.TPMAlgNull
	return p
}

// TestCertifyX509 has certificates made, and Go's crypto/x509 verify them.
func TestCertifyX509(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	const signs = fixed | tcg.TPMAObjectSignEncrypt
	ecdsa := tcg.TPMTSigScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}
	for _, c := range []struct {
		name   string
		key    tcg.TPMTPublic
		scheme tcg.TPMTSigScheme
	}{
		{"ECDSA with SHA-256", eccTemplate(signs|tcg.TPMAObjectX509Sign, false), ecdsa},
		{"ECDSA with SHA-512", eccTemplate(signs, false), tcg.TPMTSigScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA512}},
		{"RSASSA with SHA-384", rsaTemplate(signs), tcg.TPMTSigScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA384}},
	} {
		key, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, c.key)
		attributes := d.Object(key).Public.ObjectAttributes
		part := partial(t, nil, []pkix.Extension{keyUsage(t, 0x80|0x04), objectExtension(t, attributes)})
		var serials []string
		for range 2 {
			added, sum, sig := x.x509(tcg.TPMRCSuccess, key, key, c.scheme, part)
			cert, err := x509.ParseCertificate(assemble(t, part, added, sig))
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if !tpmcrypto.Equal(sum, tpmcrypto.Digest(c.scheme.HashAlg, cert.RawTBSCertificate)) {
				t.Errorf("%s: tbsDigest is not that of the certificate", c.name)
			}
			if cert.Issuer.CommonName != "issuer" || cert.Subject.CommonName != "subject" || cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign {
				t.Errorf("%s: issuer %v, subject %v, usage %v", c.name, cert.Issuer, cert.Subject, cert.KeyUsage)
			}
			serials = append(serials, cert.SerialNumber.String())
		}
		if serials[0] == serials[1] {
			t.Errorf("%s: the same serial number twice", c.name)
		}
		// The caller's own algorithm is used as it is, and not given back.
		own, _ := hex.DecodeString("300a06082a8648ce3d040302") // ecdsa-with-SHA256
		if c.scheme == ecdsa {
			given := partial(t, own, []pkix.Extension{keyUsage(t, 0x80)})
			added, _, sig := x.x509(tcg.TPMRCSuccess, key, key, c.scheme, given)
			if bytes.Contains(added, own) {
				t.Error("what the caller gave comes back")
			}
			cert, err := x509.ParseCertificate(assemble(t, given, added, sig))
			if err == nil {
				err = cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
			}
			if err != nil {
				t.Errorf("with the caller's algorithm: %v", err)
			}
		}
		x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(key)) })
	}
}

// TestCertifyX509Refuses asks for what a key may not be certified for, and
// gives certificates that are none.
func TestCertifyX509Refuses(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	ecdsa := tcg.TPMTSigScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}
	signer, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, eccTemplate(fixed|tcg.TPMAObjectSignEncrypt, false))
	storage, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, eccTemplate(fixed, true))
	loose := eccTemplate(tcg.TPMAObjectSignEncrypt, false)
	loose.ObjectAttributes &^= fixed
	free, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, loose)
	for _, c := range []struct {
		name string
		key  tcg.TPMHandle
		bits byte
		rc   tcg.TPMRC
	}{
		{"signature by a storage key", storage, 0x80, tcg.TPMRCAttributes.P(3)},
		{"certificates by a storage key", storage, 0x04, tcg.TPMRCAttributes.P(3)},
		{"revocations by a storage key", storage, 0x02, tcg.TPMRCAttributes.P(3)},
		{"key encipherment by a storage key", storage, 0x20, tcg.TPMRCSuccess},
		{"key encipherment by a signing key", signer, 0x20, tcg.TPMRCAttributes.P(3)},
		{"data encipherment by a signing key", signer, 0x10, tcg.TPMRCAttributes.P(3)},
		{"key agreement by a signing key", signer, 0x08, tcg.TPMRCAttributes.P(3)},
		{"content commitment by a fixed key", signer, 0x40, tcg.TPMRCSuccess},
		{"content commitment by a key that may leave", free, 0x40, tcg.TPMRCAttributes.P(3)},
	} {
		t.Log(c.name)
		x.x509(c.rc, c.key, signer, ecdsa, partial(t, nil, []pkix.Extension{keyUsage(t, c.bits)}))
	}
	good := partial(t, nil, []pkix.Extension{keyUsage(t, 0x80)})
	x.x509(tcg.TPMRCKey.H(2), signer, storage, ecdsa, good)
	x.x509(tcg.TPMRCScheme.P(2), signer, signer, tcg.TPMTSigScheme{Scheme: tcg.TPMAlgNull}, good)
	x.x509(tcg.TPMRCAttributes.P(3), signer, signer, ecdsa, partial(t, nil, []pkix.Extension{keyUsage(t, 0x80), objectExtension(t, 0)}))
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "one byte more": append(bytes.Clone(good), 0),
		"no key usage":  partial(t, nil, []pkix.Extension{objectExtension(t, d.Object(signer).Public.ObjectAttributes)}),
		"two key usage": partial(t, nil, []pkix.Extension{keyUsage(t, 0x80), keyUsage(t, 0x80)}),
	} {
		t.Log(name)
		x.x509(tcg.TPMRCValue.P(3), signer, signer, ecdsa, bad)
	}
}

func FuzzPartialCertificate(f *testing.F) {
	b, err := hex.DecodeString("30523011310f300d060355040313066973737565723000300030" + "00")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x30, 0x0A, 0x30, 0, 0x30, 0, 0x30, 0, 0xA3, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := readPartial(b); ok && len(p.issuer)+len(p.validity)+len(p.subject)+len(p.extensions) > len(b) {
			t.Fatal("more than there was")
		}
	})
}

// TestX509SignCertifies: x509sign keeps a key from TPM2_Sign, and from nothing
// else (Part 2, 8.3.3.15).
func TestX509SignCertifies(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	key, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, eccTemplate(fixed|tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectX509Sign, false))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCCertify, handles(key, key), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	x.want(tcg.TPMRCAttributes.H(1), tcg.TPMCCSign, handles(key), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32))
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
		w.Uint16(uint16(tcg.TPMSTHashCheck))
		w.Uint32(uint32(tcg.TPMRHNull))
		w.Sized(nil)
	})
}
