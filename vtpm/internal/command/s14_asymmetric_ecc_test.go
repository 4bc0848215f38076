package command_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var kdf2 = tcg.TPMTKDFScheme{Scheme: tcg.TPMAlgKDF2, HashAlg: tcg.TPMAlgSHA256}

// TestZGen2Phase: two TPMs with a static and an ephemeral key each share two
// secrets, and an ephemeral key is good for once (Part 3, 14.7).
func TestZGen2Phase(t *testing.T) {
	t.Parallel()
	var (
		tpms      [2]*tpmtest.TPM
		static    [2]tpmtest.Object
		ephemeral [2]tcg.TPMSECCPoint
		counter   [2]uint16
		z         [2][2]tcg.TPMSECCPoint
	)
	for i := range tpms {
		tpms[i] = tpmtest.New(t)
		static[i] = tpms[i].Primary(owner, tpmtest.ECC(decrypt), none)
		r := tpms[i].Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256)
		ephemeral[i], counter[i] = point(r), r.Uint16()
	}
	for i, tpm := range tpms {
		o := 1 - i
		params := []any{static[o].Public.UniqueECC, ephemeral[o], tcg.TPMAlgECDH, counter[i]}
		r := tpm.Do(tcg.TPMCCZGen2Phase, handles{static[i].Handle}, nil, params...)
		z[i] = [2]tcg.TPMSECCPoint{point(r), point(r)}
		tpm.Want(tcg.TPMRCValue.P(4), tcg.TPMCCZGen2Phase, handles{static[i].Handle}, nil, params...)
	}
	for n := range z[0] {
		if !bytes.Equal(z[0][n].X, z[1][n].X) {
			t.Errorf("secret %d: %x and %x", n+1, z[0][n].X, z[1][n].X)
		}
	}
	if bytes.Equal(z[0][0].X, z[0][1].X) {
		t.Error("both secrets are the same")
	}
}

func TestZGen2PhaseCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCZGen2Phase)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	r := tpm.Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256)
	q, counter := point(r), r.Uint16()
	off := tcg.TPMSECCPoint{X: q.Y, Y: q.X}
	h := handles{key.Handle}
	row := func(rc tcg.TPMRC, why string, key tcg.TPMHandle) {
		t.Helper()
		c.row(rc, why, handles{key}, q, q, tcg.TPMAlgECDH, counter)
	}
	row(tcg.TPMRCKey.H(1), "an HMAC key", tpm.Primary(owner, tpmtest.HMAC(0), none).Handle)
	row(tcg.TPMRCAttributes.H(1), "the key does not decrypt", tpm.Primary(owner, tpmtest.ECC(sign), none).Handle)
	row(tcg.TPMRCAttributes.H(1), "the key is restricted", tpm.Primary(owner, storage(), none).Handle)
	mqv := tpmtest.ECC(decrypt)
	mqv.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECMQV, HashAlg: tcg.TPMAlgSHA256}
	row(tcg.TPMRCScheme.P(3), "another scheme than the key's", tpm.Primary(owner, mqv, none).Handle)
	c.row(tcg.TPMRCScheme.P(3), "a scheme that is none", h, q, q, tcg.TPMAlgECDSA, counter)
	c.row(tcg.TPMRCECCPoint.P(1), "the static point is off the curve", h, off, q, tcg.TPMAlgECDH, counter)
	c.row(tcg.TPMRCECCPoint.P(2), "the ephemeral point is off the curve", h, q, off, tcg.TPMAlgECDH, counter)
	c.row(tcg.TPMRCRange.P(4), "a counter that never was", h, q, q, tcg.TPMAlgECDH, counter+1)
	row(tcg.TPMRCSuccess, "after all that", key.Handle)
	row(tcg.TPMRCValue.P(4), "it was used", key.Handle)
}

// TestECCEncryption: what is encrypted to a key comes out, once and for all, and
// without the TPM's help in the encryption (Part 3, 14.8).
func TestECCEncryption(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	public := external(tpm, key.Public, nil)
	r := tpm.Do(tcg.TPMCCECCEncrypt, handles{public}, nil, "message", kdf2)
	c1, c2, c3 := point(r), take(r), take(r)
	if got := take(tpm.Do(tcg.TPMCCECCDecrypt, handles{key.Handle}, nil, c1, c2, c3, kdf2)); string(got) != "message" {
		t.Errorf("decrypted %q", got)
	}
	// C3 is the digest of the shared point's x, the message and the point's y.
	mine, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := mine.PublicKey().Bytes()
	other := tcg.TPMSECCPoint{X: b[1:33], Y: b[33:]}
	tpm.Want(tcg.TPMRCValue.P(3), tcg.TPMCCECCDecrypt, handles{key.Handle}, nil, other, c2, c3, kdf2)
}

func TestECCEncryptCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCECCEncrypt)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	c.row(tcg.TPMRCKey.H(1), "an HMAC key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle}, "m", kdf2)
	c.row(tcg.TPMRCScheme.P(2), "no scheme at all", handles{key.Handle}, "m", nil)
	c.row(tcg.TPMRCScheme.P(2), "a scheme that is not for encryption", handles{key.Handle}, "m",
		tcg.TPMTKDFScheme{Scheme: tcg.TPMAlgKDF1SP800108, HashAlg: tcg.TPMAlgSHA256})
	c.row(tcg.TPMRCSize.P(1), "a message beyond a buffer", handles{key.Handle}, make([]byte, 1025), kdf2)
}

func TestECCDecryptCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCECCDecrypt)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	r := tpm.Do(tcg.TPMCCECCEncrypt, handles{key.Handle}, nil, "message", kdf2)
	c1, c2, c3 := point(r), take(r), take(r)
	row := func(rc tcg.TPMRC, why string, key tcg.TPMHandle) {
		t.Helper()
		c.row(rc, why, handles{key}, c1, c2, c3, kdf2)
	}
	row(tcg.TPMRCKey.H(1), "an HMAC key", tpm.Primary(owner, tpmtest.HMAC(0), none).Handle)
	row(tcg.TPMRCAttributes.H(1), "the key does not decrypt", tpm.Primary(owner, tpmtest.ECC(sign), none).Handle)
	row(tcg.TPMRCAttributes.H(1), "the key is restricted", tpm.Primary(owner, storage(), none).Handle)
	h := handles{key.Handle}
	c.row(tcg.TPMRCScheme.P(4), "no scheme at all", h, c1, c2, c3, nil)
	c.row(tcg.TPMRCECCPoint.P(1), "C1 is off the curve", h, tcg.TPMSECCPoint{X: c1.Y, Y: c1.X}, c2, c3, kdf2)
	bad := bytes.Clone(c2)
	bad[0] ^= 1
	c.row(tcg.TPMRCValue.P(3), "a bit of C2 is turned", h, c1, bad, c3, kdf2)
	c.row(tcg.TPMRCValue.P(3), "C3 is cut", h, c1, c2, c3[:31], kdf2)
}
