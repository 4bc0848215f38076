package command_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	_ "crypto/sha1"
	_ "crypto/sha512"
	"encoding/hex"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// goHashes are the hash algorithms that the default profile and Go's standard
// library have.
var goHashes = map[tcg.TPMAlgID]crypto.Hash{
	tcg.TPMAlgSHA1: crypto.SHA1, tcg.TPMAlgSHA256: crypto.SHA256, tcg.TPMAlgSHA384: crypto.SHA384, tcg.TPMAlgSHA512: crypto.SHA512,
}

// sum returns the digest of b.
func sum(alg tcg.TPMAlgID, b []byte) []byte {
	h := goHashes[alg].New()
	h.Write(b)
	return h.Sum(nil)
}

// hashTicket takes the response's next TPMT_TK_HASHCHECK.
func hashTicket(r *tpmtest.Response) (k tcg.TPMTTk) {
	k.UnmarshalHashCheck(&r.Reader)
	k.Digest = bytes.Clone(k.Digest)
	return k
}

// generated is data that a TPM structure could begin with.
const generated = "\xFFTCG and more"

// disable disables a hierarchy.
func disable(tpm *tpmtest.TPM, hierarchy tcg.TPMHandle) {
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, hierarchy, false)
}

// TestHash: the digest is that of the data, and its ticket says in which hierarchy
// it is safe to sign, if it is (Part 3, 15.4).
func TestHash(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for alg := range goHashes {
		for _, c := range []struct {
			data      string
			hierarchy tcg.TPMHandle
			safe      bool
		}{
			{"message", owner, true}, {"message", endorsement, true}, {"message", null, false},
			{"", owner, true}, {generated, owner, false}, {generated[:3], owner, true},
		} {
			r := tpm.Do(tcg.TPMCCHash, nil, nil, c.data, alg, c.hierarchy)
			if got, want := take(r), sum(alg, []byte(c.data)); !bytes.Equal(got, want) {
				t.Errorf("%v of %q: %x, not %x", alg, c.data, got, want)
			}
			k := hashTicket(r)
			if (len(k.Digest) != 0) != c.safe || c.safe && k.Hierarchy != c.hierarchy || !c.safe && k.Hierarchy != null {
				t.Errorf("%v of %q for %#x: ticket of hierarchy %#x, digest %x", alg, c.data, c.hierarchy, k.Hierarchy, k.Digest)
			}
		}
	}
}

func TestHashCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCHash)
	c.row(tcg.TPMRCHash.P(2), "no algorithm", nil, "data", tcg.TPMAlgNull, owner)
	c.row(tcg.TPMRCHash.P(2), "a cipher", nil, "data", tcg.TPMAlgAES, owner)
	c.row(tcg.TPMRCValue.P(3), "what is no hierarchy", nil, "data", tcg.TPMAlgSHA256, lockout)
	c.row(tcg.TPMRCSize.P(1), "data beyond a buffer", nil, make([]byte, 1025), tcg.TPMAlgSHA256, owner)
	c.row(tcg.TPMRCValue.P(3), "a hierarchy of firmware to come", nil, "data", tcg.TPMAlgSHA256, tcg.TPMRHSVNOwnerBase+0xFFFF)
	disable(tpm, owner)
	c.row(tcg.TPMRCSuccess, "a hierarchy that is disabled", nil, "data", tcg.TPMAlgSHA256, owner)
}

// TestMAC: an HMAC is that of Go's standard library, with the key's hash algorithm
// or the caller's, and a CMAC is that of RFC 4493, section 4 (Part 3, 15.6).
func TestMAC(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	secret, message := []byte("key"), []byte("message")
	own := tpm.Primary(owner, given(tpmtest.HMAC(0)), tcg.TPMSSensitiveCreate{Data: secret}).Handle
	free := tpm.Primary(owner, given(anyHMAC()), tcg.TPMSSensitiveCreate{Data: secret}).Handle
	check := func(key tcg.TPMHandle, asked tcg.TPMAlgID, data, want []byte) {
		t.Helper()
		if got := take(tpm.Do(tcg.TPMCCMAC, handles{key}, nil, data, asked)); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, not %x", asked, got, want)
		}
	}
	for alg, h := range goHashes {
		m := hmac.New(h.New, secret)
		m.Write(message)
		want := m.Sum(nil)
		check(free, alg, message, want)
		if alg == tcg.TPMAlgSHA256 {
			check(own, alg, message, want)
			check(own, tcg.TPMAlgNull, message, want)
		}
	}
	cipher, _ := hex.DecodeString("2b7e151628aed2a6abf7158809cf4f3c")
	block, _ := hex.DecodeString("6bc1bee22e409f96e93d7e117393172a")
	want, _ := hex.DecodeString("070a16b46b4d4144f79bdd9dd04a287c")
	p := given(tpmtest.AES(sign))
	check(tpm.Primary(owner, p, tcg.TPMSSensitiveCreate{Data: cipher}).Handle, tcg.TPMAlgCMAC, block, want)
	p.Sym.Mode = tcg.TPMAlgCMAC
	key := tpm.Primary(owner, p, tcg.TPMSSensitiveCreate{Data: cipher}).Handle
	check(key, tcg.TPMAlgNull, block, want)
	check(key, tcg.TPMAlgCMAC, block, want)
}

// anyHMAC is the template of an HMAC key for any hash algorithm.
func anyHMAC() tcg.TPMTPublic {
	p := tpmtest.HMAC(0)
	p.KeyedHash.Scheme = tcg.TPMTKeyedHashScheme{Scheme: tcg.TPMAlgNull}
	return p
}

func TestMACCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCMAC)
	macRows(c)
	c.row(tcg.TPMRCSize.P(1), "data beyond a buffer", handles{c.tpm.Primary(owner, anyHMAC(), none).Handle},
		make([]byte, 1025), tcg.TPMAlgSHA256)
}

// macRows are the rows that TPM2_MAC and TPM2_MAC_Start share: both have the
// scheme as their second parameter.
func macRows(c *codes) {
	c.t.Helper()
	row := func(rc tcg.TPMRC, why string, key tcg.TPMTPublic, asked tcg.TPMAlgID) {
		c.t.Helper()
		var s tcg.TPMSSensitiveCreate
		if key.Type == tcg.TPMAlgKeyedHash && !key.ObjectAttributes.Has(sign) {
			s.Data = []byte("sealed")
		}
		h := c.tpm.Primary(owner, key, s).Handle
		c.row(rc, why, handles{h}, "x", asked)
		c.tpm.Flush(h)
	}
	const sha256, cmac, none = tcg.TPMAlgSHA256, tcg.TPMAlgCMAC, tcg.TPMAlgNull
	cfb := tpmtest.AES(sign | decrypt)
	cfb.Sym.Mode = tcg.TPMAlgCFB
	own := tpmtest.AES(sign)
	own.Sym.Mode = cmac
	row(tcg.TPMRCType.H(1), "an ECC key", tpmtest.ECC(sign), sha256)
	h := sequence(c.tpm)
	c.row(tcg.TPMRCType.H(1), "a sequence", handles{h}, "x", sha256)
	c.tpm.Flush(h)
	row(tcg.TPMRCAttributes.H(1), "an HMAC key that is restricted", tpmtest.HMAC(restricted), sha256)
	row(tcg.TPMRCAttributes.H(1), "a cipher's key that is restricted", tpmtest.AES(tpmtest.Parent), cmac)
	row(tcg.TPMRCKey.H(1), "sealed data", tpmtest.Sealed(), sha256)
	row(tcg.TPMRCKey.H(1), "a cipher's key that does not sign", tpmtest.AES(decrypt), cmac)
	row(tcg.TPMRCValue.P(2), "another hash algorithm than the key's", tpmtest.HMAC(0), tcg.TPMAlgSHA384)
	row(tcg.TPMRCValue.P(2), "neither the key nor the caller has one", anyHMAC(), none)
	row(tcg.TPMRCValue.P(2), "CMAC with an HMAC key", anyHMAC(), cmac)
	row(tcg.TPMRCValue.P(2), "neither the cipher's key nor the caller has one", tpmtest.AES(sign), none)
	row(tcg.TPMRCValue.P(2), "HMAC with a cipher's key", own, sha256)
	row(tcg.TPMRCValue.P(2), "CMAC with a key that encrypts in CFB", cfb, cmac)
	row(tcg.TPMRCValue.P(2), "a key that encrypts in CFB", cfb, none)
	row(tcg.TPMRCSymmetric.P(2), "what is no such scheme", anyHMAC(), tcg.TPMAlgAES)
}
