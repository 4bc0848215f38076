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
