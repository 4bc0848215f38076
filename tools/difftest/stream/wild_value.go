package stream

import (
	"strings"

	"stubtpm/vtpm/tcg"
)

var (
	allHashes = []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256, tcg.TPMAlgSHA256,
		tcg.TPMAlgSHA1, tcg.TPMAlgSHA384, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512, tcg.TPMAlgSHA3256, tcg.TPMAlgSM3256, tcg.TPMAlgNull, tcg.TPMAlgNull}
	curves = []int{3, 3, 3, 4, 5, 1, 2, 0x10, 0x11, 0x20, 0x40, 0}
	modes  = []tcg.TPMAlgID{tcg.TPMAlgCFB, tcg.TPMAlgCFB, tcg.TPMAlgNull, tcg.TPMAlgCBC, tcg.TPMAlgCTR, tcg.TPMAlgECB, tcg.TPMAlgOFB, tcg.TPMAlgCMAC}
)

// value returns a parameter of a type of the specification's tables: one that the TPM
// returned, or a generated one.
func (w *world) value(typ, name string, c *command, secret []byte) []byte {
	typ = strings.TrimSuffix(typ, "+")
	if l := w.pool[typ]; len(l) > 0 && w.chance(0.5) && typ != "TPM2B_DIGEST" && typ != "TPM2B_PUBLIC" {
		return pick(w, l)
	}
	hash := alg(pick(w, allHashes))
	switch typ {
	case "UINT16":
		return u16(pick(w, []int{0, 1, 8, 16, 32, 64, 1024, 0xFFFF, w.n(200)}))
	case "UINT32", "INT32":
		return u32(pick(w, []int{0, 1, 2, 10, 100, 3600, 0x7FFFFFFF, 0xFFFFFFFF, w.n(1 << 16)}))
	case "UINT64":
		return u64(pick(w, []uint64{0, 1, 1 << 32, 1 << 63, ^uint64(0)}))
	case "TPMI_YES_NO":
		return []byte{byte(w.n(2))}
	case "TPM2B_SIGNATURE_CTX", "TPM2B_SIGNATURE_HINT":
		return b2(w.bytes(pick(w, []int{0, 0, 0, 2, 16, 255, 256})))
	case "TPM2B_KEM_CIPHERTEXT":
		return b2(w.bytes(pick(w, []int{0, 65, 768, 1088, 1568})))
	case "TPM2B_AUTH":
		return b2(secret)
	case "TPM2B_DIGEST", "TPM2B_NONCE":
		return b2(w.bytes(pick(w, []int{0, 0, 20, 32, 32, 32, 48, 64, w.n(65)})))
	case "TPM2B_NAME":
		return b2(w.someName())
	case "TPM2B_PUBLIC":
		return b2(w.wildPublic(false))
	case "TPM2B_TEMPLATE":
		if w.chance(0.6) {
			t := w.wildTemplate()
			return b2(t.public(tcg.TPMAlgSHA256, nil))
		}
		return b2(w.wildPublic(true))
	case "TPMT_PUBLIC_PARMS":
		t := w.template()
		return cat(alg(t.typ), t.params)
	case "TPM2B_SENSITIVE_CREATE":
		data := []byte(nil)
		if w.chance(0.1) {
			data = w.bytes(1 + w.n(128))
		}
		return b2(b2(secret), b2(data))
	case "TPM2B_SENSITIVE":
		if w.chance(0.5) {
			return b2()
		}
		return b2(alg(pick(w, []tcg.TPMAlgID{tcg.TPMAlgKeyedHash, tcg.TPMAlgSymCipher, tcg.TPMAlgECC, tcg.TPMAlgRSA})), b2(secret), b2(w.bytes(pick(w, []int{0, 20, 32}))), b2(w.bytes(pick(w, []int{16, 32, 128}))))
	case "TPM2B_NV_PUBLIC":
		return b2(u32(0x01500000+w.n(20)), hash, w.bytes(4), b2(), u16(w.n(100)))
	case "TPM2B_NV_PUBLIC_2":
		return b2([]byte{1}, u32(0x01500000+w.n(20)), alg(tcg.TPMAlgSHA256), u32(nvOwnerRead|nvOwnerWrite|nvAuthRead|nvAuthWrite), b2(), u16(w.n(100)))
	case "TPML_PCR_SELECTION":
		return w.pcrSelection(3)
	case "TPML_DIGEST_VALUES":
		h := pick(w, hashes)
		return cat(u32(1), alg(h), w.bytes(newHash(h).Size()))
	case "TPML_DIGEST":
		return cat(u32(2), b2(w.bytes(32)), b2(w.bytes(32)))
	case "TPML_CC":
		n := w.n(4)
		l := u32(n)
		for range n {
			l = append(l, u32(0x11F+w.n(0x80))...)
		}
		return l
	case "TPML_ALG":
		return cat(u32(2), hash, alg(tcg.TPMAlgRSA))
	case "TPMT_SIG_SCHEME":
		return w.wildScheme(c)
	case "TPMT_SIGNATURE":
		return w.wildSignature()
	case "TPMT_RSA_DECRYPT":
		return pick(w, [][]byte{alg(tcg.TPMAlgNull), alg(tcg.TPMAlgRSAES), cat(alg(tcg.TPMAlgOAEP), hash)})
	case "TPMT_KDF_SCHEME":
		return pick(w, [][]byte{alg(tcg.TPMAlgNull), cat(alg(tcg.TPMAlgKDF2), hash), cat(alg(tcg.TPMAlgKDF1SP80056A), hash), cat(alg(tcg.TPMAlgMGF1), hash)})
	case "TPMT_SYM_DEF_OBJECT", "TPMT_SYM_DEF":
		return w.wildSym()
	case "TPMI_ALG_HASH":
		return hash
	case "TPMI_ALG_CIPHER_MODE", "TPMI_ALG_MAC_SCHEME":
		return pick(w, [][]byte{alg(pick(w, modes)), hash})
	case "TPMI_ECC_CURVE":
		return u16(pick(w, curves))
	case "TPMI_ECC_KEY_EXCHANGE":
		return alg(pick(w, []tcg.TPMAlgID{tcg.TPMAlgECDH, tcg.TPMAlgECMQV, tcg.TPMAlgSM2}))
	case "TPM2B_ECC_POINT":
		k := pick(w, w.keys)
		if k.typ != tcg.TPMAlgECC {
			return b2(b2(w.bytes(32)), b2(w.bytes(32)))
		}
		return b2(k.unique)
	case "TPM2B_ENCRYPTED_SECRET":
		if k := pick(w, w.keys); k.typ == tcg.TPMAlgECC && w.chance(0.7) {
			return b2(k.unique)
		}
		return b2(w.bytes(pick(w, []int{0, 128, 256})))
	case "TPMI_RH_HIERARCHY", "TPMI_RH_ENABLES":
		return u32(w.hierarchy().handle[0])
	case "TPMT_TK_HASHCHECK":
		return nullCheck
	case "TPMT_TK_CREATION":
		return cat(u16(0x8021), u32(0x40000007), b2(w.bytes(w.n(33))))
	case "TPMT_TK_VERIFIED":
		return cat(u16(0x8022), u32(0x40000007), b2(w.bytes(w.n(33))))
	case "TPMT_TK_AUTH":
		return cat(u16(pick(w, []int{0x8023, 0x8025})), u32(0x40000007), b2(w.bytes(w.n(33))))
	case "TPMT_HA":
		return cat(alg(tcg.TPMAlgSHA256), w.bytes(32))
	case "TPM_EO":
		return u16(w.n(13))
	case "TPM_CAP":
		return u32(w.n(12))
	case "TPM_CC":
		return u32(0x11F + w.n(0x80))
	case "TPM_CLOCK_ADJUST", "TPMA_LOCALITY":
		return []byte{byte(w.n(256))}
	case "TPM2B_SET_CAPABILITY_DATA":
		return b2(u32(w.n(16)), w.bytes(w.n(8)))
	case "TPMI_DH_PCR":
		return u32(w.n(24))
	case "TPM2B_IV":
		return b2(w.bytes(16))
	case "TPM2B_ECC_PARAMETER":
		return b2(w.bytes(32))
	}
	if strings.HasPrefix(typ, "TPM2B_") {
		if name == "partialCertificate" {
			return b2(partialCertificate)
		}
		return b2(w.bytes(pick(w, []int{0, 1, 8, 16, 32, 64, 256, w.n(64)})))
	}
	return w.bytes(w.n(40))
}

// someName returns the name of an entity, or bytes in the form of a name.
func (w *world) someName() []byte {
	if o := pick(w, w.objects); o != nil && w.chance(0.7) && o.name[0] != nil {
		return o.name[0]
	}
	if w.chance(0.3) {
		return nil
	}
	return cat(alg(tcg.TPMAlgSHA256), w.bytes(32))
}

func (w *world) wildScheme(c *command) []byte {
	if len(c.handles) > 0 && w.chance(0.6) {
		return w.scheme(c.handles[len(c.handles)-1])
	}
	h := alg(pick(w, allHashes))
	return pick(w, [][]byte{alg(tcg.TPMAlgNull), cat(alg(tcg.TPMAlgRSASSA), h), cat(alg(tcg.TPMAlgRSAPSS), h), cat(alg(tcg.TPMAlgECDSA), h),
		cat(alg(tcg.TPMAlgECDAA), h, u16(w.n(3))), cat(alg(tcg.TPMAlgECSchnorr), h), cat(alg(tcg.TPMAlgSM2), h), cat(alg(tcg.TPMAlgHMAC), h)})
}

func (w *world) wildSignature() []byte {
	h := alg(pick(w, allHashes))
	return pick(w, [][]byte{alg(tcg.TPMAlgNull), cat(alg(tcg.TPMAlgRSASSA), h, b2(w.bytes(256))), cat(alg(tcg.TPMAlgECDSA), h, b2(w.bytes(w.n(67))), b2(w.bytes(32))),
		cat(alg(tcg.TPMAlgHMAC), alg(tcg.TPMAlgSHA256), w.bytes(32)), cat(alg(tcg.TPMAlgECSchnorr), h, b2(w.bytes(32)), b2(w.bytes(32)))})
}

func (w *world) wildSym() []byte {
	switch w.n(6) {
	case 0:
		return symNull
	case 1:
		return cat(alg(tcg.TPMAlgXOR), alg(pick(w, allHashes)))
	case 2:
		return cat(alg(pick(w, []tcg.TPMAlgID{tcg.TPMAlgCamellia, tcg.TPMAlgSM4, tcg.TPMAlgTDES})), u16(128), alg(tcg.TPMAlgCFB))
	case 3:
		return cat(alg(tcg.TPMAlgAES), u16(pick(w, []int{128, 192, 256, 0, 64})), alg(pick(w, modes)))
	}
	return symAES
}
