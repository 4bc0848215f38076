package vtpm

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
)

// TestStorageKeyMode: a storage key may say any mode of a cipher, and protects
// its children with CFB (Part 3, 12.1.1).
func TestStorageKeyMode(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	symmetric := func(mode tcg.TPMAlgID) tcg.TPMTPublic {
		p := tcg.TPMTPublic{Type: tcg.TPMAlgSymCipher, NameAlg: tcg.TPMAlgSHA256,
			ObjectAttributes: fixed | tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth}
		p.Sym = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: mode}
		return p
	}
	asymmetric := func(mode tcg.TPMAlgID) tcg.TPMTPublic {
		p := eccTemplate(fixed, true)
		p.ECC.Symmetric.Mode = mode
		return p
	}
	for _, template := range []func(tcg.TPMAlgID) tcg.TPMTPublic{symmetric, asymmetric} {
		for _, mode := range []tcg.TPMAlgID{tcg.TPMAlgCFB, tcg.TPMAlgOFB, tcg.TPMAlgCBC, tcg.TPMAlgCTR} {
			parent, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHOwner, template(mode))
			r := x.want(tcg.TPMRCSuccess, tcg.TPMCCCreate, handles(parent), func(w *tcg.Writer) {
				w.Bytes([]byte{0, 4, 0, 0, 0, 0})
				p := eccTemplate(fixed, false)
				p.Marshal2B(w)
				w.Sized(nil)
				w.Uint32(0)
			})
			private, public := bytes.Clone(r.Sized(1024)), bytes.Clone(r.Sized(1024))
			rc, child, _ := x.send(tcg.TPMCCLoad, handles(parent), func(w *tcg.Writer) { w.Sized(private); w.Sized(public) })
			if rc != tcg.TPMRCSuccess {
				t.Errorf("mode %#x: TPM2_Load: %#x", uint16(mode), uint32(rc))
			}
			// A storage key below it has to say the same.
			for _, m := range []tcg.TPMAlgID{tcg.TPMAlgCFB, tcg.TPMAlgOFB} {
				want := tcg.TPMRCSymmetric.P(2)
				if m == mode {
					want = tcg.TPMRCSuccess
				}
				x.want(want, tcg.TPMCCCreate, handles(parent), func(w *tcg.Writer) {
					w.Bytes([]byte{0, 4, 0, 0, 0, 0})
					p := asymmetric(m)
					p.Marshal2B(w)
					w.Sized(nil)
					w.Uint32(0)
				})
			}
			for _, h := range []tcg.TPMHandle{parent, child} {
				x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
			}
		}
	}
	x.create(tcg.TPMRCMode.P(2), tcg.TPMRHOwner, symmetric(tcg.TPMAlgCMAC))
	x.create(tcg.TPMRCSymmetric.P(2), tcg.TPMRHOwner, asymmetric(tcg.TPMAlgCMAC))
}
