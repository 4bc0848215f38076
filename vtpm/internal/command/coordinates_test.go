package command

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// widen writes a number with zeros in front, in size bytes.
func widen(b []byte, size int) []byte { return tpmcrypto.LeftPad(b, size) }

// TestWideCoordinates: coordinates and numbers with any zeros in front are what
// they are without; what is too large is refused; nothing ends in failure mode.
func TestWideCoordinates(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	plain, private := p256(t, 0, noSym)
	for _, size := range []int{32, 33, 34, 64, tcg.MaxECCKeyBytes} {
		q := tcg.TPMSECCPoint{X: widen(plain.UniqueECC.X, size), Y: widen(plain.UniqueECC.Y, size)}
		s := private.Clone()
		s.Sensitive = widen(s.Sensitive, size)
		load := func(attributes tcg.TPMAObject, scheme tcg.TPMTAsymScheme) tcg.TPMHandle {
			p := plain.Clone()
			p.NameAlg = tcg.TPMAlgSHA256
			p.ObjectAttributes |= attributes
			p.ECC.Scheme, p.UniqueECC = scheme, q
			return x.external(tcg.TPMRCSuccess, p, &s, tcg.TPMRHNull)
		}
		h := load(tcg.TPMAObjectSignEncrypt, noScheme)
		part := partial(t, nil, []pkix.Extension{keyUsage(t, 0x80)})
		added, _, sig := x.x509(tcg.TPMRCSuccess, h, h, tcg.TPMTSigScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}, part)
		cert, err := x509.ParseCertificate(assemble(t, part, added, sig))
		if err != nil {
			t.Fatalf("x of %d bytes: %v", size, err)
		}
		key := cert.PublicKey.(*ecdsa.PublicKey)
		if !bytes.Equal(key.X.Bytes(), plain.UniqueECC.X) || !bytes.Equal(key.Y.Bytes(), plain.UniqueECC.Y) ||
			cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			t.Errorf("x of %d bytes: another key is certified", size)
		}
		x.flush(h)

		h = load(tcg.TPMAObjectDecrypt, noScheme)
		z := x.want(tcg.TPMRCSuccess, tcg.TPMCCECDHZGen, handles(h), q.Marshal2B)
		z.Uint16()
		first := bytes.Clone(z.Sized(100))
		z = x.want(tcg.TPMRCSuccess, tcg.TPMCCECDHZGen, handles(h), plain.UniqueECC.Marshal2B)
		z.Uint16()
		if !bytes.Equal(first, z.Sized(100)) {
			t.Errorf("x of %d bytes: another secret is agreed on", size)
		}
		x.want(tcg.TPMRCSuccess, tcg.TPMCCECDHKeyGen, handles(h), nil)
		for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgECDH, tcg.TPMAlgECMQV} {
			r := x.want(tcg.TPMRCSuccess, tcg.TPMCCECEphemeral, nil, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMECCNistP256)) })
			r.Sized(200)
			counter := r.Uint16()
			x.want(tcg.TPMRCSuccess, tcg.TPMCCZGen2Phase, handles(h), func(w *tcg.Writer) {
				q.Marshal2B(w)
				q.Marshal2B(w)
				w.Uint16(uint16(alg))
				w.Uint16(counter)
			})
		}
		x.flush(h)

		h = load(tcg.TPMAObjectSignEncrypt, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDAA, HashAlg: tcg.TPMAlgSHA256, Count: 0})
		x.want(tcg.TPMRCSuccess, tcg.TPMCCCommit, handles(h), func(w *tcg.Writer) { q.Marshal2B(w); w.Sized(nil); w.Sized(nil) })
		x.flush(h)

		if size > 32 { // one bit above the field
			bad := plain.Clone()
			bad.NameAlg = tcg.TPMAlgSHA256
			bad.ObjectAttributes |= tcg.TPMAObjectSignEncrypt
			bad.UniqueECC = q.Clone()
			bad.UniqueECC.X[0] |= 1
			x.external(tcg.TPMRCECCPoint.P(1), bad, nil, tcg.TPMRHNull)
		}
	}
	if d.Vol.Failed {
		t.Errorf("failure mode: %s", d.Vol.Failure.What)
	}
}
