package command

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// TestNVCertifyDigest: an index is certified by its digest, if neither size nor
// offset says a part of it; the scheme says the hash, signed or not (Part 3,
// 31.16).
func TestNVCertifyDigest(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	const index = 0x01800001
	x.define(index, 8, 0)
	certify := func(scheme, hash tcg.TPMAlgID, size, offset uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(nil)
			w.Uint16(uint16(scheme))
			if scheme != tcg.TPMAlgNull {
				w.Uint16(uint16(hash))
			}
			w.Uint16(size)
			w.Uint16(offset)
		}
	}
	unsigned := handles(tcg.TPMRHNull, tcg.TPMRHOwner, index)
	x.want(tcg.TPMRCNVUninitialized, tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgECDSA, tcg.TPMAlgSHA384, 0, 0))
	x.write(tcg.TPMRCSuccess, index, []byte("contents"))
	x.want(tcg.TPMRCScheme.P(2), tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgNull, 0, 0, 0))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgNull, 0, 8, 0))
	x.want(tcg.TPMRCNVRange, tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgNull, 0, 8, 1))
	x.want(tcg.TPMRCValue.P(4), tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgNull, 0, 0, 9))
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCNVCertify, unsigned, certify(tcg.TPMAlgECDSA, tcg.TPMAlgSHA384, 0, 0))
	if sum := tpmcrypto.Digest(tcg.TPMAlgSHA384, []byte("contents")); !bytes.Contains(r.Rest(), sum) {
		t.Error("the digest is not in what is certified")
	}
	key, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	signed := handles(key, tcg.TPMRHOwner, index)
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCNVCertify, signed, certify(tcg.TPMAlgECDSA, tcg.TPMAlgSHA256, 0, 0))
	if sum := tpmcrypto.Digest(tcg.TPMAlgSHA256, []byte("contents")); !bytes.Contains(r.Rest(), sum) {
		t.Error("the digest is not in what is signed")
	}
	decrypt, _, _ := x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)
	x.want(tcg.TPMRCKey.H(1), tcg.TPMCCNVCertify, handles(decrypt, tcg.TPMRHOwner, index), certify(tcg.TPMAlgECDSA, tcg.TPMAlgSHA256, 0, 0))
	other := handles(key, index, index) // no authorization of the index itself was defined
	if rc, _, _ := x.send(tcg.TPMCCNVCertify, other, certify(tcg.TPMAlgECDSA, tcg.TPMAlgSHA256, 0, 0)); rc == tcg.TPMRCSuccess {
		t.Error("read by the index's authorization value, which may not")
	}
}

// TestRSAEncryptAttributes: with a public key everybody encrypts, whatever its
// attributes say (Part 3, 14.2.1).
func TestRSAEncryptAttributes(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	load := func(attrs tcg.TPMAObject, scheme tcg.TPMTAsymScheme) tcg.TPMHandle {
		rc, h, _ := x.send(tcg.TPMCCLoadExternal, nil, func(w *tcg.Writer) {
			w.Sized(nil)
			p := tcg.TPMTPublic{Type: tcg.TPMAlgRSA, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: attrs}
			p.RSA.Symmetric, p.RSA.Scheme, p.RSA.KeyBits = noSym, scheme, 2048
			p.UniqueRSA = append([]byte{0x80}, bytes.Repeat([]byte{1}, 255)...)
			p.Marshal2B(w)
			w.Uint32(uint32(tcg.TPMRHNull))
		})
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("TPM2_LoadExternal: %#x", uint32(rc))
		}
		return h
	}
	encrypt := func(scheme tcg.TPMAlgID, label string) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized([]byte("message"))
			w.Uint16(uint16(scheme))
			w.Sized([]byte(label))
		}
	}
	signs := load(tcg.TPMAObjectSignEncrypt, noScheme)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCRSAEncrypt, handles(signs), encrypt(tcg.TPMAlgRSAES, ""))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCRSAEncrypt, handles(signs), encrypt(tcg.TPMAlgNull, "label\x00"))
	x.want(tcg.TPMRCValue.P(3), tcg.TPMCCRSAEncrypt, handles(signs), encrypt(tcg.TPMAlgNull, "label"))
	rsassa := load(tcg.TPMAObjectSignEncrypt, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA256})
	x.want(tcg.TPMRCScheme.P(2), tcg.TPMCCRSAEncrypt, handles(rsassa), encrypt(tcg.TPMAlgNull, ""))
	x.want(tcg.TPMRCScheme.P(2), tcg.TPMCCRSAEncrypt, handles(rsassa), encrypt(tcg.TPMAlgRSAES, ""))
	ecc, _, _ := x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)
	x.want(tcg.TPMRCKey.H(1), tcg.TPMCCRSAEncrypt, handles(ecc), encrypt(tcg.TPMAlgRSAES, ""))
}
