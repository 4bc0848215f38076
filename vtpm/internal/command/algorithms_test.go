package command

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
)

// openssl runs the command, which is no part of the device.
func openssl(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl command to compare with")
	}
	c := exec.Command(path, args...)
	c.Stdin = bytes.NewReader(in)
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, complaint.String())
	}
	return out
}

// primary makes a primary key of the storage hierarchy, with data as its
// secret if it is not nil.
func (x rawTPM) primary(p tcg.TPMTPublic, data []byte) (tcg.TPMHandle, tcg.TPMTPublic) {
	x.t.Helper()
	p.NameAlg = tcg.TPMAlgSHA256
	p.ObjectAttributes |= tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA
	if data == nil {
		p.ObjectAttributes |= tcg.TPMAObjectSensitiveDataOrigin
	}
	rc, h, r := x.send(tcg.TPMCCCreatePrimary, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized(parameters(func(w *tcg.Writer) { w.Sized(nil); w.Sized(data) }))
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("TPM2_CreatePrimary: %#x", uint32(rc))
	}
	p.Unmarshal2B(&r)
	return h, p.Clone()
}

func (x rawTPM) flush(h tcg.TPMHandle) {
	x.t.Helper()
	x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
}

// testCiphers encrypts by TPM2_EncryptDecrypt2 in each mode that openssl has
// of a cipher, compares, and decrypts.
func testCiphers(t *testing.T, profile string, alg tcg.TPMAlgID, names map[int]string, modes string) {
	x, _ := profiled(t, "base = "+profile)
	plain := bytes.Repeat([]byte("sixteen bytes or "), 16)[:256]
	for bits, name := range names {
		key := make([]byte, bits/8)
		for i := range key {
			key[i] = byte(37*i + 0x1C)
		}
		h, _ := x.primary(tcg.TPMTPublic{
			Type: tcg.TPMAlgSymCipher, ObjectAttributes: tcg.TPMAObjectSignEncrypt | tcg.TPMAObjectDecrypt,
			Sym: tcg.TPMTSymDefObject{Algorithm: alg, KeyBits: uint16(bits), Mode: tcg.TPMAlgNull},
		}, key)
		for _, m := range strings.Fields(modes) {
			mode := map[string]tcg.TPMAlgID{"ecb": tcg.TPMAlgECB, "cbc": tcg.TPMAlgCBC, "cfb": tcg.TPMAlgCFB, "ofb": tcg.TPMAlgOFB, "ctr": tcg.TPMAlgCTR}[m]
			iv := bytes.Repeat([]byte{0xF8, 0x11}, alg.BlockSize()/2)
			args := []string{"enc", "-" + name + "-" + m, "-nopad", "-K", hex.EncodeToString(key), "-iv", hex.EncodeToString(iv)}
			if m == "ecb" {
				iv, args = nil, args[:5]
			}
			want := openssl(t, plain, args...)
			crypt := func(in []byte, decrypt bool) []byte {
				r := x.want(tcg.TPMRCSuccess, tcg.TPMCCEncryptDecrypt2, handles(h), func(w *tcg.Writer) {
					w.Sized(in)
					w.YesNo(decrypt)
					w.Uint16(uint16(mode))
					w.Sized(iv)
				})
				return bytes.Clone(r.MaxBuffer())
			}
			got := crypt(plain, false)
			if !bytes.Equal(got, want) {
				t.Errorf("%s-%s: %x, openssl %x", name, m, got[:32], want[:32])
			}
			if back := crypt(got, true); !bytes.Equal(back, plain) {
				t.Errorf("%s-%s: decrypts to %q", name, m, back)
			}
		}
		x.flush(h)
	}
}

func TestCiphersOpenSSL(t *testing.T) {
	t.Parallel()
	all := "ecb cbc cfb ofb ctr"
	testCiphers(t, "full", tcg.TPMAlgAES, map[int]string{128: "aes-128", 192: "aes-192", 256: "aes-256"}, all)
	testCiphers(t, "full", tcg.TPMAlgCamellia, map[int]string{128: "camellia-128", 192: "camellia-192", 256: "camellia-256"}, all)
	testCiphers(t, "full", tcg.TPMAlgTDES, map[int]string{128: "des-ede", 192: "des-ede3"}, "cbc cfb ofb")
}

// testHash hashes, MACs and extends with an algorithm that openssl has too.
func testHash(t *testing.T, profile string, alg tcg.TPMAlgID, name string) {
	x, _ := profiled(t, "base = "+profile)
	data := []byte("message that is hashed")
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCHash, nil, func(w *tcg.Writer) {
		w.Sized(data)
		w.Uint16(uint16(alg))
		w.Uint32(uint32(tcg.TPMRHNull))
	})
	want := openssl(t, data, "dgst", "-"+name, "-binary")
	if got := r.Digest(); !bytes.Equal(got, want) {
		t.Errorf("%s: %x, openssl %x", name, got, want)
	}
	key := bytes.Repeat([]byte("k"), 20)
	h, _ := x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, ObjectAttributes: tcg.TPMAObjectSignEncrypt,
		KeyedHash: tcg.TPMSKeyedHashParms{Scheme: tcg.TPMTKeyedHashScheme{Scheme: tcg.TPMAlgHMAC, HashAlg: alg}}}, key)
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCHMAC, handles(h), func(w *tcg.Writer) { w.Sized(data); w.Uint16(uint16(alg)) })
	mac := openssl(t, data, "dgst", "-"+name, "-hmac", string(key), "-binary")
	if got := r.Digest(); !bytes.Equal(got, mac) {
		t.Errorf("HMAC-%s: %x, openssl %x", name, got, mac)
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRExtend, handles(16), func(w *tcg.Writer) {
		w.Uint32(1)
		w.Uint16(uint16(alg))
		w.Bytes(want)
	})
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRRead, nil, func(w *tcg.Writer) {
		w.Uint32(1)
		w.Uint16(uint16(alg))
		w.Bytes([]byte{3, 0, 0, 1})
	})
	r.Uint32()
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(&r)
	pcr := openssl(t, append(make([]byte, len(want)), want...), "dgst", "-"+name, "-binary")
	if n, got := r.Uint32(), r.Digest(); n != 1 || !bytes.Equal(got, pcr) {
		t.Errorf("PCR of %s: %d: %x, openssl %x", name, n, got, pcr)
	}
	// A sequence whose context was saved goes on where it was.
	_, h, _ = x.send(tcg.TPMCCHashSequenceStart, nil, func(w *tcg.Writer) { w.Sized(nil); w.Uint16(uint16(alg)) })
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSequenceUpdate, handles(h), func(w *tcg.Writer) { w.Sized(data[:5]) })
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(h), nil)
	saved := bytes.Clone(r.Rest())
	x.flush(h)
	_, h, _ = x.send(tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(saved) })
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCSequenceComplete, handles(h), func(w *tcg.Writer) { w.Sized(data[5:]); w.Uint32(uint32(tcg.TPMRHNull)) })
	if got := r.Digest(); !bytes.Equal(got, want) {
		t.Errorf("sequence of %s: %x, openssl %x", name, got, want)
	}
}

func TestHashesOpenSSL(t *testing.T) {
	t.Parallel()
	for alg, name := range map[tcg.TPMAlgID]string{
		tcg.TPMAlgSHA1: "sha1", tcg.TPMAlgSHA384: "sha384",
		tcg.TPMAlgSHA3256: "sha3-256", tcg.TPMAlgSHA3384: "sha3-384", tcg.TPMAlgSHA3512: "sha3-512",
	} {
		testHash(t, "full", alg, name)
	}
}

// signature asks TPM2_Sign for one by the scheme over a digest.
func (x rawTPM) signature(h tcg.TPMHandle, scheme tcg.TPMTAsymScheme, digest []byte) tcg.Reader {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCSign, handles(h), func(w *tcg.Writer) {
		w.Sized(digest)
		scheme.Marshal(w)
		w.Uint16(uint16(tcg.TPMSTHashCheck))
		w.Uint32(uint32(tcg.TPMRHNull))
		w.Sized(nil)
	})
	if alg, hash := r.Alg(), r.Alg(); alg != scheme.Scheme || hash != scheme.HashAlg {
		x.t.Fatalf("signature of scheme %#x, hash %#x", alg, hash)
	}
	return r
}

// RSA keys of the least and the most bits sign what crypto/rsa takes.
func TestRSASizes(t *testing.T) {
	t.Parallel()
	x, _ := profiled(t, "base = full")
	digest := bytes.Repeat([]byte{0xA5}, 32)
	for _, bits := range []uint16{1024, 4096} {
		h, p := x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgRSA, ObjectAttributes: tcg.TPMAObjectSignEncrypt,
			RSA: tcg.TPMSRSAParms{Symmetric: noSym, Scheme: noScheme, KeyBits: bits}}, nil)
		key := rsa.PublicKey{N: new(big.Int).SetBytes(p.UniqueRSA), E: 65537}
		if key.N.BitLen() != int(bits) {
			t.Fatalf("modulus of %d bits", key.N.BitLen())
		}
		r := x.signature(h, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA256}, digest)
		if err := rsa.VerifyPKCS1v15(&key, crypto.SHA256, digest, r.Sized(1024)); err != nil {
			t.Errorf("RSA %d: %v", bits, err)
		}
		x.flush(h)
	}
}

// A bigCurve computes on a curve with affine coordinates and math/big, in the
// plainest way there is.
type bigCurve struct{ p, a, b, gx, gy, n *big.Int }

// curve reads what TPM2_ECC_Parameters says of a curve.
func (x rawTPM) curve(id tcg.TPMECCCurve) bigCurve {
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCECCParameters, nil, func(w *tcg.Writer) { w.Uint16(uint16(id)) })
	r.Uint16() // curveID
	r.Uint16() // keySize
	for range 2 {
		if r.Alg() != tcg.TPMAlgNull { // kdf, sign
			r.Alg()
		}
	}
	next := func() *big.Int { return new(big.Int).SetBytes(r.Sized(128)) }
	return bigCurve{next(), next(), next(), next(), next(), next()}
}

// add returns the sum of two points; nil is infinity.
func (c *bigCurve) add(p, q []*big.Int) []*big.Int {
	if p == nil {
		return q
	}
	if q == nil {
		return p
	}
	up, down := new(big.Int).Sub(q[1], p[1]), new(big.Int).Sub(q[0], p[0])
	if down.Sign() == 0 {
		if up.Sign() != 0 || p[1].Sign() == 0 {
			return nil
		}
		up.Mul(p[0], p[0])
		up.Mul(up, big.NewInt(3)).Add(up, c.a)
		down.Lsh(p[1], 1)
	}
	m := up.Mul(up, down.ModInverse(down.Mod(down, c.p), c.p))
	x := new(big.Int).Mul(m, m)
	x.Sub(x, p[0]).Sub(x, q[0]).Mod(x, c.p)
	y := new(big.Int).Sub(p[0], x)
	y.Mul(y, m).Sub(y, p[1]).Mod(y, c.p)
	return []*big.Int{x, y}
}

func (c *bigCurve) mul(k *big.Int, p []*big.Int) (sum []*big.Int) {
	for i := k.BitLen() - 1; i >= 0; i-- {
		if sum = c.add(sum, sum); k.Bit(i) == 1 {
			sum = c.add(sum, p)
		}
	}
	return sum
}

func (c *bigCurve) generator() []*big.Int { return []*big.Int{c.gx, c.gy} }

func bigs(x, y []byte) []*big.Int {
	return []*big.Int{new(big.Int).SetBytes(x), new(big.Int).SetBytes(y)}
}

// ecdsa verifies by FIPS 186-5, 6.4.2.
func (c *bigCurve) ecdsa(q []*big.Int, digest []byte, r, s *big.Int) bool {
	e := new(big.Int).SetBytes(digest)
	e.Rsh(e, uint(max(0, 8*len(digest)-c.n.BitLen())))
	w := new(big.Int).ModInverse(s, c.n)
	u := new(big.Int).Mod(new(big.Int).Mul(e, w), c.n)
	v := new(big.Int).Mod(new(big.Int).Mul(r, w), c.n)
	p := c.add(c.mul(u, c.generator()), c.mul(v, q))
	return p != nil && new(big.Int).Mod(p[0], c.n).Cmp(r) == 0
}

// A key on each curve signs what the plainest arithmetic takes, and shares a
// secret with it.
func TestCurvesBig(t *testing.T) {
	t.Parallel()
	x, _ := profiled(t, "base = full")
	digest := bytes.Repeat([]byte{0xC7}, 32)
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCNistP192, tcg.TPMECCNistP224, tcg.TPMECCNistP256, tcg.TPMECCNistP384,
		tcg.TPMECCNistP521, tcg.TPMECCBNP256} {
		c := x.curve(id)
		if c.mul(c.n, c.generator()) != nil || !c.n.ProbablyPrime(20) {
			t.Fatalf("%#x: the order is not the generator's", id)
		}
		h, p := x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgECC, ObjectAttributes: tcg.TPMAObjectSignEncrypt | tcg.TPMAObjectDecrypt,
			ECC: tcg.TPMSECCParms{Symmetric: noSym, Scheme: noScheme, CurveID: id, KDF: noScheme}}, nil)
		q := bigs(p.UniqueECC.X, p.UniqueECC.Y)
		r := x.signature(h, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}, digest)
		s := bigs(r.Sized(128), r.Sized(128))
		if !c.ecdsa(q, digest, s[0], s[1]) {
			t.Errorf("%#x: the signature is none", id)
		}
		s[0].Xor(s[0], big.NewInt(1))
		if c.ecdsa(q, digest, s[0], s[1]) {
			t.Errorf("%#x: the test takes anything", id)
		}
		d := big.NewInt(0xC0FFEE)
		mine, z := c.mul(d, c.generator()), c.mul(d, q)
		r = x.want(tcg.TPMRCSuccess, tcg.TPMCCECDHZGen, handles(h), func(w *tcg.Writer) {
			p := tcg.TPMSECCPoint{X: mine[0].Bytes(), Y: mine[1].Bytes()}
			p.Marshal2B(w)
		})
		var got tcg.TPMSECCPoint
		got.Unmarshal2B(&r)
		if g := bigs(got.X, got.Y); g[0].Cmp(z[0]) != 0 || g[1].Cmp(z[1]) != 0 {
			t.Errorf("%#x: another secret", id)
		}
		x.flush(h)
	}
}

// Objects under a storage key of each cipher are wrapped with it, and load
// again; a session encrypts parameters with it.
func TestWrapping(t *testing.T) {
	t.Parallel()
	x, _ := profiled(t, "base = full")
	testWrapping(t, x, []tcg.TPMTSymDefObject{
		{Algorithm: tcg.TPMAlgAES, KeyBits: 192, Mode: tcg.TPMAlgCFB},
		{Algorithm: tcg.TPMAlgCamellia, KeyBits: 128, Mode: tcg.TPMAlgCFB},
		{Algorithm: tcg.TPMAlgCamellia, KeyBits: 256, Mode: tcg.TPMAlgCFB},
		{Algorithm: tcg.TPMAlgTDES, KeyBits: 192, Mode: tcg.TPMAlgCFB},
	})
}

func testWrapping(t *testing.T, x rawTPM, ciphers []tcg.TPMTSymDefObject) {
	for _, sym := range ciphers {
		h, _ := x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgECC, ObjectAttributes: tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt,
			ECC: tcg.TPMSECCParms{Symmetric: sym, Scheme: noScheme, CurveID: tcg.TPMECCNistP256, KDF: noScheme}}, nil)
		secret := []byte(fmt.Sprintf("wrapped with %v", sym))
		r := x.want(tcg.TPMRCSuccess, tcg.TPMCCCreate, handles(h), func(w *tcg.Writer) {
			w.Sized(parameters(func(w *tcg.Writer) { w.Sized(nil); w.Sized(secret) }))
			p := tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256,
				ObjectAttributes: tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA}
			p.KeyedHash.Scheme.Scheme = tcg.TPMAlgNull
			p.Marshal2B(w)
			w.Sized(nil)
			w.Uint32(0)
		})
		private, public := bytes.Clone(r.Sized(2048)), bytes.Clone(r.Sized(2048))
		if bytes.Contains(private, secret[:8]) {
			t.Errorf("%v: the secret is not encrypted", sym)
		}
		rc, sealed, _ := x.send(tcg.TPMCCLoad, handles(h), func(w *tcg.Writer) { w.Sized(private); w.Sized(public) })
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("%v: TPM2_Load: %#x", sym, uint32(rc))
		}
		r = x.want(tcg.TPMRCSuccess, tcg.TPMCCUnseal, handles(sealed), nil)
		if got := r.Sized(128); !bytes.Equal(got, secret) {
			t.Errorf("%v: unseals %q", sym, got)
		}
		x.flush(sealed)
		x.flush(h)
		rc, s, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
			w.Sized(make([]byte, 16))
			w.Sized(nil)
			w.Uint8(uint8(tcg.TPMSEHMAC))
			w.Uint16(uint16(sym.Algorithm))
			w.Uint16(sym.KeyBits)
			w.Uint16(uint16(sym.Mode))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		})
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("%v: TPM2_StartAuthSession: %#x", sym, uint32(rc))
		}
		x.flush(s)
	}
}
