package command_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var (
	oaep  = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgOAEP, HashAlg: tcg.TPMAlgSHA256}
	rsaes = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSAES}
)

// rsaKeys are RSA keys on one TPM; making them takes a while.
func rsaKeys(t *testing.T) (tpm *tpmtest.TPM, decrypts, signs, forOAEP tpmtest.Object) {
	tpm = tpmtest.New(t)
	p := tpmtest.RSA(decrypt)
	p.RSA.Scheme = oaep
	return tpm, tpm.Primary(owner, tpmtest.RSA(decrypt), none), tpm.Primary(owner, tpmtest.RSA(sign), none), tpm.Primary(owner, p, none)
}

// TestRSAEncryption: the TPM decrypts what Go's standard library encrypts, and
// the other way round by the TPM itself, with each scheme (Part 3, 14.2, 14.3).
func TestRSAEncryption(t *testing.T) {
	t.Parallel()
	tpm, key, _, _ := rsaKeys(t)
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(key.Public.UniqueRSA), E: 65537}
	raw := make([]byte, 256)
	raw[255] = 7
	byGo := map[string]func(m []byte) ([]byte, error){
		"OAEP": func(m []byte) ([]byte, error) {
			return rsa.EncryptOAEP(sha256.New(), rand.Reader, public, m, []byte("label\x00"))
		},
		"RSAES": func(m []byte) ([]byte, error) { return rsa.EncryptPKCS1v15(rand.Reader, public, m) },
	}
	for name, c := range map[string]struct {
		scheme  tcg.TPMTAsymScheme
		message []byte
		label   string
	}{
		"OAEP": {oaep, []byte("message"), "label\x00"}, "RSAES": {rsaes, []byte("message"), ""}, "none": {noAlg, raw, ""},
	} {
		text := take(tpm.Do(tcg.TPMCCRSAEncrypt, handles{key.Handle}, nil, c.message, c.scheme, c.label))
		if bytes.Equal(text, c.message) {
			t.Errorf("%s: not encrypted", name)
		}
		texts := [][]byte{text}
		if f := byGo[name]; f != nil {
			text, err := f(c.message)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		for _, text := range texts {
			if got := take(tpm.Do(tcg.TPMCCRSADecrypt, handles{key.Handle}, nil, text, c.scheme, c.label)); !bytes.Equal(got, c.message) {
				t.Errorf("%s: decrypted %x", name, got)
			}
		}
	}
}

func TestRSAEncryptCodes(t *testing.T) {
	t.Parallel()
	tpm, key, signs, forOAEP := rsaKeys(t)
	c := codesOf(t, tpm, tcg.TPMCCRSAEncrypt)
	h := handles{key.Handle}
	c.row(tcg.TPMRCKey.H(1), "an ECC key", handles{tpm.Primary(owner, storage(), none).Handle}, "m", oaep, nil)
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)}, "m", oaep, nil)
	c.row(tcg.TPMRCScheme.P(2), "another scheme than the key's", handles{forOAEP.Handle}, "m", rsaes, nil)
	c.row(tcg.TPMRCValue.P(2), "a scheme to sign with", h, "m", rsassa, nil)
	c.row(tcg.TPMRCValue.P(3), "a label without its final zero", h, "m", oaep, "label")
	c.row(tcg.TPMRCValue.P(1), "a message too large for OAEP", h, make([]byte, 191), oaep, nil)
	c.row(tcg.TPMRCValue.P(1), "a message too large for RSAES", h, make([]byte, 246), rsaes, nil)
	c.row(tcg.TPMRCValue.P(1), "a message beyond the modulus", h, bytes.Repeat([]byte{0xFF}, 256), nil, nil)
	c.row(tcg.TPMRCSize.P(1), "a message longer than any key", h, make([]byte, 513), nil, nil)
	c.row(tcg.TPMRCValue.P(3), "the same, without a scheme", h, "m", nil, "label")
	c.row(tcg.TPMRCSuccess, "attributes do not matter", handles{signs.Handle}, "m", oaep, nil)
	c.row(tcg.TPMRCSuccess, "a label, without a scheme", handles{signs.Handle}, "m", nil, "label\x00")
	public := signs.Public // of a key that signs in its own scheme
	public.RSA.Scheme = rsassa
	signing := handles{external(tpm, public, nil)}
	c.row(tcg.TPMRCScheme.P(2), "a key's scheme that signs", signing, "m", nil, nil)
	c.row(tcg.TPMRCScheme.P(2), "a key's scheme that signs, and another", signing, "m", rsaes, nil)
}

func TestRSADecryptCodes(t *testing.T) {
	t.Parallel()
	tpm, key, signs, forOAEP := rsaKeys(t)
	c := codesOf(t, tpm, tcg.TPMCCRSADecrypt)
	h, text := handles{key.Handle}, make([]byte, 256)
	c.row(tcg.TPMRCKey.H(1), "an ECC key", handles{tpm.Primary(owner, storage(), none).Handle}, text, oaep, nil)
	c.row(tcg.TPMRCAttributes.H(1), "the key does not decrypt", handles{signs.Handle}, text, oaep, nil)
	c.row(tcg.TPMRCAttributes.H(1), "the key is restricted",
		handles{tpm.Primary(owner, tpmtest.RSA(tpmtest.Parent), none).Handle}, text, oaep, nil)
	c.row(tcg.TPMRCScheme.P(2), "another scheme than the key's", handles{forOAEP.Handle}, text, rsaes, nil)
	c.row(tcg.TPMRCValue.P(3), "a label without its final zero", h, text, oaep, "label")
	c.row(tcg.TPMRCSize.P(1), "a text that is not of the key's size", h, text[:255], oaep, nil)
	c.row(tcg.TPMRCValue.P(1), "a text that does not decrypt, OAEP", h, text, oaep, nil)
	c.row(tcg.TPMRCValue.P(1), "a text that does not decrypt, RSAES", h, text, rsaes, nil)
	c.row(tcg.TPMRCValue.P(1), "a text beyond the modulus", h, bytes.Repeat([]byte{0xFF}, 256), nil, nil)
}

// point takes the response's next TPM2B_ECC_POINT.
func point(r *tpmtest.Response) (p tcg.TPMSECCPoint) {
	in := tcg.NewReader(take(r), nil)
	p.Unmarshal(&in)
	return tcg.TPMSECCPoint{X: pad32(p.X), Y: pad32(p.Y)}
}

func pad32(b []byte) []byte { return append(make([]byte, max(0, 32-len(b))), b...) }

// goPoint is a point as Go's standard library has it.
func goPoint(t *testing.T, p tcg.TPMSECCPoint) *ecdh.PublicKey {
	t.Helper()
	k, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, pad32(p.X)...), pad32(p.Y)...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestECDH: both commands and Go's standard library share the same secret (Part
// 3, 14.4 and 14.5).
func TestECDH(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	r := tpm.Do(tcg.TPMCCECDHKeyGen, handles{key.Handle}, nil)
	z, q := point(r), point(r)
	if got := point(tpm.Do(tcg.TPMCCECDHZGen, handles{key.Handle}, nil, q)); !bytes.Equal(got.X, z.X) {
		t.Errorf("ECDH_ZGen has %x, and ECDH_KeyGen %x", got.X, z.X)
	}
	mine, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := mine.ECDH(goPoint(t, key.Public.UniqueECC))
	if err != nil {
		t.Fatal(err)
	}
	b := mine.PublicKey().Bytes()
	got := point(tpm.Do(tcg.TPMCCECDHZGen, handles{key.Handle}, nil, tcg.TPMSECCPoint{X: b[1:33], Y: b[33:]}))
	if !bytes.Equal(got.X, want) {
		t.Errorf("ECDH_ZGen has %x, and crypto/ecdh %x", got.X, want)
	}
}

func TestECDHKeyGenCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCECDHKeyGen)
	c.row(tcg.TPMRCKey.H(1), "an HMAC key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle})
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)})
	c.row(tcg.TPMRCSuccess, "a public key", handles{external(tpm, tpm.Primary(owner, storage(), none).Public, nil)})
}

func TestECDHZGenCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCECDHZGen)
	key := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	q := key.Public.UniqueECC
	h := handles{key.Handle}
	c.row(tcg.TPMRCKey.H(1), "an HMAC key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle}, q)
	c.row(tcg.TPMRCAttributes.H(1), "the key does not decrypt", handles{tpm.Primary(owner, tpmtest.ECC(sign), none).Handle}, q)
	c.row(tcg.TPMRCAttributes.H(1), "the key is restricted", handles{tpm.Primary(owner, storage(), none).Handle}, q)
	mqv := tpmtest.ECC(decrypt)
	mqv.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECMQV, HashAlg: tcg.TPMAlgSHA256}
	c.row(tcg.TPMRCScheme.H(1), "a key for another scheme", handles{tpm.Primary(owner, mqv, none).Handle}, q)
	c.row(tcg.TPMRCECCPoint.P(1), "a point off the curve", h, tcg.TPMSECCPoint{X: q.Y, Y: q.X})
	c.row(tcg.TPMRCECCPoint.P(1), "no point", h, tcg.TPMSECCPoint{})
	c.row(tcg.TPMRCSize.P(1), "a coordinate that is too long", h, tcg.TPMSECCPoint{X: make([]byte, 67), Y: q.Y})
}

// TestECCParameters: the curve's own, as its base point shows (Part 3, 14.6).
func TestECCParameters(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	r := tpm.Do(tcg.TPMCCECCParameters, nil, nil, tcg.TPMECCNistP256)
	if id, size := r.Uint16(), r.Uint16(); id != uint16(tcg.TPMECCNistP256) || size != 256 {
		t.Errorf("curve %#x of %d bits", id, size)
	}
	r.Uint16() // KDF1_SP800_56A
	r.Uint16() // its hash
	r.Uint16() // no scheme
	var p [5][]byte
	for i := range p {
		p[i] = take(r) // p, a, b, gX, gY
	}
	one, err := ecdh.P256().NewPrivateKey(append(make([]byte, 31), 1))
	if err != nil {
		t.Fatal(err)
	}
	if g := one.PublicKey().Bytes(); !bytes.Equal(g[1:], append(pad32(p[3]), pad32(p[4])...)) {
		t.Errorf("the base point is %x %x", p[3], p[4])
	}
}

func TestECCParametersCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCECCParameters)
	c.row(tcg.TPMRCCurve.P(1), "no such curve", nil, 0x7F)
	c.excuse(tcg.TPMRCValue, "a curve that is not implemented is none of TPMI_ECC_CURVE: TPM_RC_CURVE")
	c.row(tcg.TPMRCInsufficient.P(1), "half a curve", nil, tpmtest.Raw{0})
}
