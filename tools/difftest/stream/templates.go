package stream

//lint:file-ignore SA1019 TPM commands and their checks need points and coordinates, which crypto/ecdh does not give.

import (
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"math/rand/v2"

	"stubtpm/vtpm/tcg"
)

var (
	symNull   = u16(int(tcg.TPMAlgNull))
	symAES    = cat(u16(int(tcg.TPMAlgAES)), u16(128), u16(int(tcg.TPMAlgCFB)))
	symAES256 = cat(u16(int(tcg.TPMAlgAES)), u16(256), u16(int(tcg.TPMAlgCFB)))
)

func alg(a tcg.TPMAlgID) []byte { return u16(int(a)) }

func public(typ, name tcg.TPMAlgID, attrs uint32, policy []byte, rest ...[]byte) []byte {
	return cat(alg(typ), alg(name), u32(attrs), b2(policy), cat(rest...))
}

// A template is a public area for TPM2_Create and similar commands.
type template struct {
	typ    tcg.TPMAlgID
	attrs  uint32
	params []byte
	unique []byte
	slow   bool // its key takes long to generate
	sealed bool // a data object
}

func (t *template) public(name tcg.TPMAlgID, policy []byte) []byte {
	return public(t.typ, name, t.attrs, policy, t.params, t.unique)
}

const made = attrFixedTPM | attrFixedParent | attrOrigin | attrUserAuth

// template returns a random valid template.
func (w *world) template() template {
	if w.v185 && w.chance(0.5) {
		return w.templateML()
	}
	unique := b2()
	if w.chance(0.3) {
		unique = b2(w.bytes(8))
	}
	point := cat(unique, b2())
	none := alg(tcg.TPMAlgNull)
	ecdsa := cat(alg(tcg.TPMAlgECDSA), alg(tcg.TPMAlgSHA256))
	p256 := u16(3)
	curve := pick(w, [][]byte{p256, p256, p256, u16(4)})
	da := pick(w, []uint32{0, attrNoDA})
	switch w.n(14) {
	case 0, 1, 2:
		return template{typ: tcg.TPMAlgECC, attrs: made | da | attrRestricted | attrDecryptKey, params: cat(symAES, none, p256, none), unique: point}
	case 3:
		return template{typ: tcg.TPMAlgECC, attrs: made | da | attrRestricted | attrSignKey, params: cat(symNull, ecdsa, curve, none), unique: point}
	case 4, 5:
		return template{typ: tcg.TPMAlgECC, attrs: made | da | attrSignKey, params: cat(symNull, pick(w, [][]byte{none, ecdsa}), curve, none), unique: point}
	case 6:
		return template{typ: tcg.TPMAlgECC, attrs: made | da | attrDecryptKey, params: cat(symNull, none, curve, none), unique: point}
	case 7:
		return template{typ: tcg.TPMAlgSymCipher, attrs: made | da | attrDecryptKey | attrSignKey, params: pick(w, [][]byte{symAES, symAES256, cat(alg(tcg.TPMAlgAES), u16(128), none), cat(alg(tcg.TPMAlgAES), u16(128), alg(tcg.TPMAlgCBC))}), unique: unique}
	case 8:
		return template{typ: tcg.TPMAlgSymCipher, attrs: made | da | attrDecryptKey | attrRestricted, params: symAES, unique: unique}
	case 9:
		return template{typ: tcg.TPMAlgKeyedHash, attrs: made | da | attrSignKey, params: pick(w, [][]byte{cat(alg(tcg.TPMAlgHMAC), alg(tcg.TPMAlgSHA256)), none}), unique: unique}
	case 10:
		if w.chance(0.15) {
			kind := pick(w, []uint32{attrRestricted | attrDecryptKey, attrSignKey, attrDecryptKey})
			sym, scheme := symNull, none
			if kind&attrRestricted != 0 {
				sym = symAES
			}
			return template{typ: tcg.TPMAlgRSA, attrs: made | da | kind, params: cat(sym, scheme, u16(2048), u32(0)), unique: unique, slow: true}
		}
	case 11:
		return template{typ: tcg.TPMAlgKeyedHash, attrs: made | da | attrRestricted | attrDecryptKey, params: cat(alg(tcg.TPMAlgXOR), alg(tcg.TPMAlgSHA256), alg(tcg.TPMAlgKDF1SP800108)), unique: unique}
	}
	return template{typ: tcg.TPMAlgKeyedHash, attrs: made&^attrOrigin | da, params: none, unique: unique, sealed: true}
}

// An external is a key that both sides load.
type external struct {
	typ       tcg.TPMAlgID
	params    []byte
	unique    []byte
	sensitive []byte // TPMU_SENSITIVE_COMPOSITE
	seed      []byte
	attrs     uint32
}

// externals returns keys that are generated from a fixed seed, which the standard
// library's generators do not accept.
func externals() []external {
	r := rand.New(rand.NewPCG(1, 2))
	prime := func(bits int) *big.Int {
		for {
			b := make([]byte, bits/8)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			b[0] |= 0xC0
			b[len(b)-1] |= 1
			p := new(big.Int).SetBytes(b)
			if p.ProbablyPrime(10) && new(big.Int).Mod(new(big.Int).Sub(p, big.NewInt(1)), big.NewInt(65537)).Sign() != 0 {
				return p
			}
		}
	}
	none := alg(tcg.TPMAlgNull)
	var l []external
	for _, bits := range []int{2048} {
		p, q := prime(bits/2), prime(bits/2)
		n := new(big.Int).Mul(p, q)
		for _, attrs := range []uint32{attrSignKey, attrDecryptKey, attrSignKey | attrDecryptKey} {
			l = append(l, external{typ: tcg.TPMAlgRSA, params: cat(symNull, none, u16(bits), u32(0)), unique: b2(n.Bytes()), sensitive: b2(p.Bytes()), attrs: attrs})
		}
	}
	for id, c := range map[int]elliptic.Curve{3: elliptic.P256()} {
		d := make([]byte, 32)
		for i := range d {
			d[i] = byte(r.Uint32())
		}
		d[0] &= 0x7F
		x, y := c.ScalarBaseMult(d)
		for _, attrs := range []uint32{attrSignKey, attrDecryptKey} {
			l = append(l, external{typ: tcg.TPMAlgECC, params: cat(symNull, none, u16(id), none),
				unique: cat(b2(x.FillBytes(make([]byte, 32))), b2(y.FillBytes(make([]byte, 32)))), sensitive: b2(d), attrs: attrs})
		}
	}
	obfuscate := func(key []byte) (seed, unique []byte) {
		seed = make([]byte, 32)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		u := sha256.Sum256(cat(seed, key))
		return seed, b2(u[:])
	}
	for _, params := range [][]byte{symAES, cat(alg(tcg.TPMAlgAES), u16(128), none), cat(alg(tcg.TPMAlgAES), u16(128), alg(tcg.TPMAlgCBC))} {
		key := []byte("0123456789abcdef")
		seed, unique := obfuscate(key)
		l = append(l, external{typ: tcg.TPMAlgSymCipher, params: params, unique: unique, sensitive: b2(key), seed: seed, attrs: attrSignKey | attrDecryptKey})
	}
	for _, params := range [][]byte{none, cat(alg(tcg.TPMAlgHMAC), alg(tcg.TPMAlgSHA256)), cat(alg(tcg.TPMAlgHMAC), alg(tcg.TPMAlgSHA1))} {
		key := []byte("an HMAC key")
		seed, unique := obfuscate(key)
		l = append(l, external{typ: tcg.TPMAlgKeyedHash, params: params, unique: unique, sensitive: b2(key), seed: seed, attrs: attrSignKey})
	}
	return l
}
