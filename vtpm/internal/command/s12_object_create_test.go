package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// creationRows are the rows that TPM2_Create, TPM2_CreatePrimary and
// TPM2_CreateLoaded share: what is wrong with a template, or with the data. The
// parent is fixed to its TPM.
func creationRows(c *codes, parent tcg.TPMHandle) {
	tpm := c.tpm
	row := func(rc tcg.TPMRC, why string, s tcg.TPMSSensitiveCreate, p tcg.TPMTPublic) {
		c.t.Helper()
		params := []any{s, p}
		if c.cc != tcg.TPMCCCreateLoaded {
			params = append(params, nil, nil)
		}
		if r := c.row(rc, why, handles{parent}, params...); r.Handle != 0 {
			tpm.Flush(r.Handle)
		}
	}
	with := func(p tcg.TPMTPublic, change func(p *tcg.TPMTPublic)) tcg.TPMTPublic {
		change(&p)
		return p
	}
	set := func(p tcg.TPMTPublic, a tcg.TPMAObject) tcg.TPMTPublic {
		p.ObjectAttributes |= a
		return p
	}
	cleared := func(p tcg.TPMTPublic, a tcg.TPMAObject) tcg.TPMTPublic {
		p.ObjectAttributes &^= a
		return p
	}
	origin := tcg.TPMAObjectSensitiveDataOrigin
	signing := tpmtest.ECC(sign)

	attributes := tcg.TPMRCAttributes.P(2)
	row(attributes, "no data, and the TPM is not to make them", none, cleared(signing, origin))
	row(attributes, "data for a key that only the TPM makes", data("x"), cleared(signing, origin))
	row(attributes, "sealed data that the TPM is to make", none, set(tpmtest.Sealed(), origin))
	row(attributes, "fixedTPM without fixedParent", none, set(signing, tcg.TPMAObjectFixedTPM))
	row(attributes, "fixedParent without fixedTPM below a parent that has it", none, set(signing, tcg.TPMAObjectFixedParent))
	row(attributes, "encryptedDuplication with fixedTPM", none, set(signing, tpmtest.Fixed|tcg.TPMAObjectEncryptedDuplication))
	row(attributes, "firmwareLimited without a limited parent", none, set(signing, tpmtest.Fixed|tcg.TPMAObjectFirmwareLimited))
	row(attributes, "restricted, and neither for signing nor decryption", none, tpmtest.ECC(restricted))
	row(attributes, "restricted, and for both", none, tpmtest.ECC(restricted|sign|decrypt))
	row(attributes, "neither for signing nor decryption", none, tpmtest.ECC(0))
	row(attributes, "x509sign without sign", none, tpmtest.ECC(decrypt|tcg.TPMAObjectX509Sign))
	row(attributes, "a symmetric key that is restricted and signs", none, tpmtest.AES(restricted|sign))
	row(tcg.TPMRCReservedBits.P(2), "a reserved attribute", none, set(signing, 1))
	row(tcg.TPMRCType.P(2), "no such type", none, with(signing, func(p *tcg.TPMTPublic) { p.Type = tcg.TPMAlgAES }))

	row(tcg.TPMRCSize.P(1), "userAuth longer than nameAlg's digest", tcg.TPMSSensitiveCreate{UserAuth: make33()}, signing)
	row(tcg.TPMRCSize.P(2), "authPolicy not as long as nameAlg's digest", none,
		with(signing, func(p *tcg.TPMTPublic) { p.AuthPolicy = make33() }))
	row(tcg.TPMRCHash.P(2), "no nameAlg", none, with(signing, func(p *tcg.TPMTPublic) { p.NameAlg = tcg.TPMAlgNull }))
	row(tcg.TPMRCScheme.P(2), "a restricted key without a scheme", none, tpmtest.ECC(restricted|sign))
	row(tcg.TPMRCScheme.P(2), "a scheme, for signing and decryption", none,
		with(tpmtest.ECC(sign|decrypt), func(p *tcg.TPMTPublic) { p.ECC.Scheme = ecdsa }))
	row(tcg.TPMRCScheme.P(2), "a signing scheme to decrypt with", none,
		with(tpmtest.ECC(decrypt), func(p *tcg.TPMTPublic) { p.ECC.Scheme = ecdsa }))
	row(tcg.TPMRCScheme.P(2), "a storage key with a scheme", none,
		with(storage(), func(p *tcg.TPMTPublic) { p.ECC.Scheme = ecdsa }))
	row(tcg.TPMRCScheme.P(2), "sealed data with a scheme", data("x"),
		with(tpmtest.Sealed(), func(p *tcg.TPMTPublic) { p.KeyedHash.Scheme = tpmtest.HMAC(0).KeyedHash.Scheme }))
	row(tcg.TPMRCSymmetric.P(2), "a storage key without a cipher", none,
		with(storage(), func(p *tcg.TPMTPublic) { p.ECC.Symmetric = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgNull} }))
	row(tcg.TPMRCSymmetric.P(2), "a signing key with a cipher", none,
		with(signing, func(p *tcg.TPMTPublic) { p.ECC.Symmetric = storage().ECC.Symmetric }))
	row(tcg.TPMRCKDF.P(2), "a KDF", none,
		with(signing, func(p *tcg.TPMTPublic) {
			p.ECC.KDF = tcg.TPMTKDFScheme{Scheme: tcg.TPMAlgKDF1SP80056A, HashAlg: tcg.TPMAlgSHA256}
		}))
	row(tcg.TPMRCMode.P(2), "a symmetric storage key with CMAC", none,
		with(tpmtest.AES(tpmtest.Parent), func(p *tcg.TPMTPublic) { p.Sym.Mode = tcg.TPMAlgCMAC }))
	row(tcg.TPMRCCurve.P(2), "no such curve", none, with(signing, func(p *tcg.TPMTPublic) { p.ECC.CurveID = 0x7F }))
	row(tcg.TPMRCValue.P(2), "no such size of RSA keys", none, with(tpmtest.RSA(sign), func(p *tcg.TPMTPublic) { p.RSA.KeyBits = 2047 }))
	row(tcg.TPMRCRange.P(2), "no such exponent", none, with(tpmtest.RSA(sign), func(p *tcg.TPMTPublic) { p.RSA.Exponent = 5 }))
	row(tcg.TPMRCKeySize.P(1), "a symmetric key of another size", data("x"), cleared(tpmtest.AES(decrypt), origin))
}

func TestCreateCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCreate)
	parent := tpm.Primary(owner, storage(), none)
	creationRows(c, parent.Handle)
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none)
	params := []any{data("x"), tpmtest.Sealed(), nil, nil}
	c.row(tcg.TPMRCType.H(1), "the parent is a signing key", handles{signs.Handle}, params...)
	c.row(tcg.TPMRCType.H(1), "the parent is a sequence", handles{sequence(tpm)}, params...)
	c.row(tcg.TPMRCAttributes.P(2), "data that the TPM is to make, too", handles{parent.Handle},
		data("0123456789abcdef"), tpmtest.AES(decrypt), nil, nil)
	// A storage key protects its children as its parent does.
	p := storage()
	p.NameAlg = tcg.TPMAlgSHA384
	c.row(tcg.TPMRCHash.P(2), "a storage key with another nameAlg than its parent's", handles{parent.Handle}, none, p, nil, nil)
	p = storage()
	p.ECC.Symmetric.KeyBits = 256
	c.row(tcg.TPMRCSymmetric.P(2), "a storage key with another cipher than its parent's", handles{parent.Handle}, none, p, nil, nil)
	c.row(tcg.TPMRCSize.P(3), "outsideInfo is too long", handles{parent.Handle}, none, storage(), make([]byte, 67), nil)
	c.row(tcg.TPMRCSize.P(4), "too many banks of PCRs", handles{parent.Handle}, none, storage(), nil, tpmtest.Raw{0, 0, 1, 0})
	c.row(tcg.TPMRCHash.P(4), "a bank of no hash", handles{parent.Handle}, none, storage(), nil, bank(tcg.TPMAlgAES, 1))
	c.row(tcg.TPMRCValue.P(4), "a PCR that there is not", handles{parent.Handle}, none, storage(), nil,
		tpmtest.Raw{0, 0, 0, 1, 0, byte(tcg.TPMAlgSHA256), 4, 0, 0, 0, 1})
}

func TestCreatePrimaryCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCreatePrimary)
	creationRows(c, owner)
	c.row(tcg.TPMRCValue.H(1), "an object is no hierarchy", handles{0x80000000}, none, storage(), nil, nil)
	c.excuse(tcg.TPMRCType, "TPM_RC_TYPE of a parent: the parent is a hierarchy. That of a template is above")
	tpm.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false)
	c.row(tcg.TPMRCHierarchy.H(1), "the hierarchy is disabled", handles{owner}, none, storage(), nil, nil)
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", handles{endorsement}, none, storage(), nil, nil)
}

// TestCreatePrimary: the same seed and template make the same key, and others
// another (Part 1, "Primary Object Derivation").
func TestCreatePrimary(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	name := func(h tcg.TPMHandle, p tcg.TPMTPublic, s tcg.TPMSSensitiveCreate) string {
		o := tpm.Primary(h, p, s)
		defer tpm.Flush(o.Handle)
		return string(o.Name)
	}
	want := name(owner, storage(), none)
	other := storage()
	other.UniqueECC.X = []byte{1}
	for why, got := range map[string]string{
		"another hierarchy": name(endorsement, storage(), none),
		"another unique":    name(owner, other, none),
		"other data":        name(owner, storage(), data("x")),
	} {
		if got == want {
			t.Errorf("%s: the same key", why)
		}
	}
	tpm.Reset()
	if got := name(owner, storage(), none); got != want {
		t.Error("after a reset it is another key")
	}
	if null1 := name(null, storage(), none); null1 != name(null, storage(), none) {
		t.Error("twice in the null hierarchy: another key")
	} else if tpm.Reset(); null1 == name(null, storage(), none) {
		t.Error("the null hierarchy's key outlives a reset")
	}
}

// derivation is the template of a derivation parent.
func derivation() tcg.TPMTPublic {
	p := tpmtest.HMAC(tpmtest.Fixed | tpmtest.Parent)
	p.ObjectAttributes &^= sign
	p.KeyedHash.Scheme = tcg.TPMTKeyedHashScheme{Scheme: tcg.TPMAlgXOR, HashAlg: tcg.TPMAlgSHA256, KDF: tcg.TPMAlgKDF1SP800108}
	return p
}

// TestCreateLoaded: by what the parent is the object is a primary, ordinary or
// derived one (Part 3, 12.9).
func TestCreateLoaded(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	create := func(parent tcg.TPMHandle, s tcg.TPMSSensitiveCreate, template any) (private, name []byte) {
		r := tpm.Do(tcg.TPMCCCreateLoaded, handles{parent}, nil, s, template)
		private = take(r)
		take(r)
		defer tpm.Flush(r.Handle)
		return private, take(r)
	}
	parent := tpm.Primary(owner, storage(), none)
	private, name := create(owner, none, storage())
	if len(private) != 0 || !bytes.Equal(name, parent.Name) {
		t.Errorf("a primary key: %d private bytes, and the Name is not that of TPM2_CreatePrimary", len(private))
	}
	private, name = create(parent.Handle, none, tpmtest.ECC(sign))
	if _, again := create(parent.Handle, none, tpmtest.ECC(sign)); len(private) == 0 || bytes.Equal(name, again) {
		t.Errorf("an ordinary key: %d private bytes, and another has Name %x, too", len(private), again)
	}
	kdf := tpm.Primary(owner, derivation(), none)
	derive := func(label string) []byte {
		d := tcg.TPMSDerive{Label: []byte(label), Context: []byte("context")}
		private, name := create(kdf.Handle, tcg.TPMSSensitiveCreate{Data: tcg.Marshal(&d)}, derived(tpmtest.ECC(sign)))
		if len(private) != 0 {
			t.Errorf("a derived key has %d private bytes", len(private))
		}
		return name
	}
	if one := derive("one"); !bytes.Equal(one, derive("one")) || bytes.Equal(one, derive("two")) {
		t.Error("derived keys do not depend on their label alone")
	}
}

// derived makes a template that of a derived object: unique is a TPMS_DERIVE.
func derived(p tcg.TPMTPublic) tpmtest.Raw {
	p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
	b := tcg.Marshal(&p) // unique, x and y, of size zero: as label and context
	if p.Type != tcg.TPMAlgECC {
		b = append(b, 0, 0)
	}
	var w tcg.Writer
	w.Sized(b)
	return w.B
}

func TestCreateLoadedCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCreateLoaded)
	parent := tpm.Primary(owner, storage(), none)
	creationRows(c, parent.Handle)
	creationRows(c, owner)
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none)
	c.row(tcg.TPMRCType.H(1), "the parent is a signing key", handles{signs.Handle}, none, storage())
	c.row(tcg.TPMRCValue.H(1), "the parent is lockout", handles{lockout}, none, storage())
	c.row(tcg.TPMRCSize.P(2), "bytes after the template", handles{owner}, none, append(tcg.Marshal(pointer(storage())), 0))
	c.row(tcg.TPMRCInsufficient.P(2), "the template is cut", handles{owner}, none, tcg.Marshal(pointer(storage()))[:8])

	kdf := handles{tpm.Primary(owner, derivation(), none).Handle}
	c.row(tcg.TPMRCType.P(2), "a derived RSA key", kdf, none, derived(tpmtest.RSA(sign)))
	c.row(tcg.TPMRCAttributes.P(2), "a derived key that the TPM makes", kdf, none, tpmtest.ECC(sign))
	c.row(tcg.TPMRCSize.P(1), "bytes after label and context", kdf, data("\x00\x00\x00\x00x"), derived(tpmtest.ECC(sign)))
	c.row(tcg.TPMRCInsufficient.P(1), "no context", kdf, data("\x00\x00"), derived(tpmtest.ECC(sign)))
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", handles{owner}, none, storage())
}

func pointer(p tcg.TPMTPublic) *tcg.TPMTPublic { return &p }
