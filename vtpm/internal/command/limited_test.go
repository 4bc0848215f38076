package command

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A limitedTPM is a device that knows its firmware.
func limitedTPM(t *testing.T, f *hierarchy.Firmware) rawTPM {
	t.Helper()
	d := fixedDevice(t, new(memStore))
	d.Cfg.Firmware = f
	if r := d.Execute(0, startupClear); !ok(r) {
		t.Fatalf("%x", r)
	}
	return rawTPM{t, d}
}

func eccTemplate(attributes tcg.TPMAObject, storage bool) tcg.TPMTPublic {
	p := tcg.TPMTPublic{Type: tcg.TPMAlgECC, NameAlg: tcg.TPMAlgSHA256,
		ObjectAttributes: attributes | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth}
	p.ECC.CurveID = tcg.TPMECCNistP256
	p.ECC.KDF.Scheme = tcg.TPMAlgNull
	p.ECC.Scheme.Scheme = tcg.TPMAlgNull
	p.ECC.Symmetric.Algorithm = tcg.TPMAlgNull
	if storage {
		p.ObjectAttributes |= tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt
		p.ECC.Symmetric = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
	} else {
		p.ObjectAttributes |= tcg.TPMAObjectSignEncrypt
	}
	return p
}

const fixed = tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent

// create is TPM2_CreatePrimary; it returns the handle and the Name.
func (x rawTPM) create(rc tcg.TPMRC, h tcg.TPMHandle, p tcg.TPMTPublic) (tcg.TPMHandle, []byte) {
	x.t.Helper()
	got, key, _ := x.send(tcg.TPMCCCreatePrimary, handles(h), func(w *tcg.Writer) {
		w.Bytes([]byte{0, 4, 0, 0, 0, 0})
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	if got != rc {
		x.t.Fatalf("TPM2_CreatePrimary of %#x: %v, want %v", uint32(h), got, rc)
	}
	if rc != tcg.TPMRCSuccess {
		return 0, nil
	}
	return key, bytes.Clone(x.d.Object(key).Name)
}

// primaryOf is the Name of a primary object, which is flushed.
func (x rawTPM) primaryOf(h tcg.TPMHandle, p tcg.TPMTPublic) string {
	x.t.Helper()
	key, name := x.create(tcg.TPMRCSuccess, h, p)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(key)) })
	return string(name)
}

// TestLimitedHierarchies: keys of limited hierarchies are those of one firmware,
// or of one security version and later ones (Part 1, clause 41).
func TestLimitedHierarchies(t *testing.T) {
	t.Parallel()
	secret := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	// The chain of a firmware of version 5, as who starts it derives it.
	chain := map[uint16][]byte{5: secret(5)}
	for v := uint16(5); v > 0; v-- {
		chain[v-1] = tpmcrypto.Digest(tcg.TPMAlgSHA512, chain[v])
	}
	old := limitedTPM(t, &hierarchy.Firmware{Secret: secret(1), SVN: 2, SVNSecret: chain[2]})
	next := limitedTPM(t, &hierarchy.Firmware{Secret: secret(2), SVN: 5, SVNSecret: chain[5]})
	key := eccTemplate(fixed, true)
	seen := map[string]tcg.TPMHandle{}
	for _, h := range []tcg.TPMHandle{
		tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform,
		tcg.TPMRHFWOwner, tcg.TPMRHFWEndorsement, tcg.TPMRHFWPlatform, tcg.TPMRHFWNull,
		tcg.TPMRHSVNOwnerBase, tcg.TPMRHSVNOwnerBase + 2, tcg.TPMRHSVNEndorsementBase + 1, tcg.TPMRHSVNPlatformBase + 2, tcg.TPMRHSVNNullBase + 2,
	} {
		a, b := old.primaryOf(h, key), next.primaryOf(h, key)
		if same := a == b; same == h.IsFW() && hierarchy.Base(h) != tcg.TPMRHNull {
			t.Errorf("%#x: same with both firmwares: %v", uint32(h), same)
		}
		if was, there := seen[a]; there {
			t.Errorf("%#x has the keys of %#x", uint32(h), uint32(was))
		}
		seen[a] = h
		if old.primaryOf(h, key) != a {
			t.Errorf("%#x: not the same twice", uint32(h))
		}
	}
	old.create(tcg.TPMRCValue.H(1), tcg.TPMRHSVNOwnerBase+3, key)
	next.primaryOf(tcg.TPMRHSVNOwnerBase+5, key)
	next.create(tcg.TPMRCValue.H(1), tcg.TPMRHSVNOwnerBase+6, key)
}

// TestLimitedAttributes: firmwareLimited and svnLimited begin with such a
// hierarchy, and are handed down (Part 2, 8.3.3.8 and 8.3.3.9).
func TestLimitedAttributes(t *testing.T) {
	t.Parallel()
	x := limitedTPM(t, &hierarchy.Firmware{Secret: make([]byte, 32), SVNSecret: make([]byte, 32)})
	fw, svn := tcg.TPMAObjectFirmwareLimited, tcg.TPMAObjectSVNLimited
	for _, c := range []struct {
		h     tcg.TPMHandle
		attrs tcg.TPMAObject
		rc    tcg.TPMRC
	}{
		{tcg.TPMRHOwner, fixed | fw, tcg.TPMRCAttributes.P(2)},
		{tcg.TPMRHOwner, fixed | svn, tcg.TPMRCAttributes.P(2)},
		{tcg.TPMRHFWOwner, fixed | fw, tcg.TPMRCSuccess},
		{tcg.TPMRHFWOwner, fixed, tcg.TPMRCSuccess},
		{tcg.TPMRHFWOwner, fw, tcg.TPMRCAttributes.P(2)},
		{tcg.TPMRHFWOwner, fixed | svn, tcg.TPMRCAttributes.P(2)},
		{tcg.TPMRHSVNOwnerBase, fixed | svn, tcg.TPMRCSuccess},
		{tcg.TPMRHSVNOwnerBase, fixed | fw, tcg.TPMRCAttributes.P(2)},
	} {
		key, _ := x.create(c.rc, c.h, eccTemplate(c.attrs, true))
		if c.rc != tcg.TPMRCSuccess {
			continue
		}
		// Nothing of such a hierarchy is made persistent (Part 1, 41.5).
		if hierarchy.IsLimited(c.h) {
			x.want(tcg.TPMRCAttributes.H(2), tcg.TPMCCEvictControl, handles(tcg.TPMRHOwner, key), func(w *tcg.Writer) { w.Uint32(0x81000001) })
		}
		// A child has no limit that its parent has not.
		for _, limit := range []tcg.TPMAObject{fw, svn} {
			want := tcg.TPMRCAttributes.P(2)
			if c.attrs&limit != 0 {
				want = tcg.TPMRCSuccess
			}
			p := eccTemplate(fixed|limit, false)
			x.want(want, tcg.TPMCCCreate, handles(key), func(w *tcg.Writer) {
				w.Bytes([]byte{0, 4, 0, 0, 0, 0})
				p.Marshal2B(w)
				w.Sized(nil)
				w.Uint32(0)
			})
		}
		x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(key)) })
	}
	// They go with the hierarchy that they belong to.
	key, _ := x.create(tcg.TPMRCSuccess, tcg.TPMRHFWEndorsement, eccTemplate(fixed|fw, true))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCHierarchyControl, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
		w.Uint32(uint32(tcg.TPMRHEndorsement))
		w.YesNo(false)
	})
	if x.d.ObjectOrNil(key) != nil {
		t.Error("a key of a hierarchy that was disabled is there")
	}
	x.create(tcg.TPMRCHierarchy.H(1), tcg.TPMRHFWEndorsement, eccTemplate(fixed|fw, true))
	// TPM2_LoadExternal takes none (Part 2, 8.3.3.8, External).
	p := eccTemplate(fw|fixed, false)
	p.UniqueECC = tcg.TPMSECCPoint{X: []byte{1}, Y: []byte{2}}
	x.want(tcg.TPMRCAttributes.P(2), tcg.TPMCCLoadExternal, nil, func(w *tcg.Writer) {
		w.Sized(nil)
		p.Marshal2B(w)
		w.Uint32(uint32(tcg.TPMRHOwner))
	})
}
