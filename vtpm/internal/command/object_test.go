package command

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/internal/engine"
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

// TestPersistentPublicKey: a public key of a hierarchy may be made persistent
// (Part 3, 28.5.1, since version 1.85); it verifies after a restart, and has
// nothing to be authorized with.
func TestPersistentPublicKey(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	x := rawTPM{t, d}
	signer, public, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	load := func(h tcg.TPMHandle) tcg.TPMHandle {
		rc, key, _ := x.send(tcg.TPMCCLoadExternal, nil, func(w *tcg.Writer) {
			w.Sized(nil)
			public.Marshal2B(w)
			w.Uint32(uint32(h))
		})
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("TPM2_LoadExternal: %#x", uint32(rc))
		}
		return key
	}
	const persistent = 0x81000123
	evict := func(rc tcg.TPMRC, key tcg.TPMHandle) {
		t.Helper()
		x.want(rc, tcg.TPMCCEvictControl, handles(tcg.TPMRHOwner, key), func(w *tcg.Writer) { w.Uint32(persistent) })
	}
	scheme := func(w *tcg.Writer) {
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	}
	ticket := tcg.NullTicket(tcg.TPMSTHashCheck)
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCSign, handles(signer), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32))
		scheme(w)
		ticket.Marshal(w)
	})
	signature := bytes.Clone(r.Rest())
	evict(tcg.TPMRCAttributes.H(2), load(tcg.TPMRHNull))
	evict(tcg.TPMRCSuccess, load(tcg.TPMRHOwner))
	d, err := Load(engine.Config{Store: s}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	x.d = d
	x.want(tcg.TPMRCSuccess, tcg.TPMCCVerifySignature, handles(persistent), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32))
		w.Bytes(signature)
	})
	x.want(tcg.TPMRCAuthUnavailable, tcg.TPMCCSign, handles(persistent), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32))
		scheme(w)
		ticket.Marshal(w)
	})
	evict(tcg.TPMRCSuccess, persistent)
	x.want(tcg.TPMRCHandle.H(1), tcg.TPMCCReadPublic, handles(persistent), nil)
}
