package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestCreateLoadUnseal: what is created below a parent is loaded below it, and
// gives back the data that were sealed (Part 3, 12.1, 12.2 and 12.7).
func TestCreateLoadUnseal(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	parent := tpm.Primary(owner, storage(), none)
	r := tpm.Do(tcg.TPMCCCreate, handles{parent.Handle}, nil,
		tcg.TPMSSensitiveCreate{UserAuth: []byte("a"), Data: []byte("data")}, tpmtest.Sealed(), "outside", bank(tcg.TPMAlgSHA256, 7))
	private, public, creation, creationHash := take(r), take(r), take(r), take(r)
	if !bytes.Equal(hash(creation), creationHash) {
		t.Errorf("creationHash is not that of creationData")
	}
	if !bytes.Contains(creation, []byte("outside")) || !bytes.Contains(creation, parent.Name) {
		t.Errorf("creationData %x do not tell outsideInfo and parent", creation)
	}
	// outPrivate does not show what it is of.
	if bytes.Contains(private, []byte("data")) {
		t.Errorf("the data are in outPrivate")
	}
	load := func(parent tcg.TPMHandle) *tpmtest.Response {
		return tpm.Run(tcg.TPMCCLoad, handles{parent}, nil, private, public)
	}
	item := load(parent.Handle)
	if name := append([]byte{0, byte(tcg.TPMAlgSHA256)}, hash(public)...); !bytes.Equal(take(item), name) {
		t.Error("the Name is not the digest of the public area")
	}
	if got := take(tpm.Do(tcg.TPMCCUnseal, handles{item.Handle}, auths{tpmtest.Password("a")})); string(got) != "data" {
		t.Errorf("unsealed %q", got)
	}
	// Another parent does not take it, and the same one does after a reset.
	other := tpm.Primary(endorsement, storage(), none)
	if rc := load(other.Handle).Code; rc != tcg.TPMRCIntegrity.P(1) {
		t.Errorf("below another parent: %v", rc)
	}
	tpm.Reset()
	parent = tpm.Primary(owner, storage(), none)
	if rc := load(parent.Handle).Code; rc != tcg.TPMRCSuccess {
		t.Errorf("after a reset: %v", rc)
	}
}

func TestLoadCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCLoad)
	parent := tpm.Primary(owner, storage(), none)
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none)
	o := tpm.Create(parent.Handle, tpmtest.Sealed(), data("x"))
	h := handles{parent.Handle}
	c.row(tcg.TPMRCType.H(1), "the parent is a signing key", handles{signs.Handle}, o.Private, o.Public)
	c.row(tcg.TPMRCAuthUnavailable, "the parent is a public key", handles{external(tpm, parent.Public, nil)}, o.Private, o.Public)
	c.row(tcg.TPMRCSize.P(1), "no private part", h, nil, o.Public)
	c.row(tcg.TPMRCInsufficient.P(1), "a private part of one byte", h, "x", o.Public)
	bad := bytes.Clone(o.Private)
	bad[len(bad)-1] ^= 1
	c.row(tcg.TPMRCIntegrity.P(1), "a bit of the private part is turned", h, bad, o.Public)
	changed := o.Public
	changed.ObjectAttributes ^= tcg.TPMAObjectNoDA
	c.row(tcg.TPMRCIntegrity.P(1), "another public area", h, o.Private, changed)
	changed.NameAlg = tcg.TPMAlgNull
	c.row(tcg.TPMRCHash.P(2), "no nameAlg", h, o.Private, changed)
	c.row(tcg.TPMRCReferenceH0, "no such parent", handles{0x8000000F}, o.Private, o.Public)
	c.by(tcg.TPMRCAuthFail.S(1), "a wrong password", handles{tpm.Primary(owner, dictionary(), tcg.TPMSSensitiveCreate{UserAuth: []byte("a")}).Handle},
		auths{tpmtest.Password("b")}, o.Private, o.Public)
	for why, rc := range map[string]tcg.TPMRC{
		"public and private part of an object that is not one": tcg.TPMRCBinding,
		"attributes that contradict each other":                tcg.TPMRCAttributes,
	} {
		c.excuse(rc, why+": inPrivate is of the Name of a public area that this parent made or imported, and was checked then")
	}
	tpm.Flush(signs.Handle)
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", h, o.Private, o.Public)
}

// dictionary is the template of a storage key with dictionary attack protection.
func dictionary() tcg.TPMTPublic {
	p := storage()
	p.ObjectAttributes &^= tcg.TPMAObjectNoDA
	return p
}

// TestReadPublic: the public area, its Name, and that of the way to it (Part 3,
// 12.4; Part 1, "Qualified Name").
func TestReadPublic(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	parent := tpm.Primary(owner, storage(), none)
	child := tpm.Create(parent.Handle, tpmtest.Sealed(), data("x"))
	alg := []byte{0, byte(tcg.TPMAlgSHA256)}
	qualified := append(alg, hash([]byte{0x40, 0, 0, 1}, parent.Name)...)
	for _, o := range []tpmtest.Object{parent, child} {
		r := tpm.Do(tcg.TPMCCReadPublic, handles{o.Handle}, nil)
		public, name, got := take(r), take(r), take(r)
		if !bytes.Equal(public, tcg.Marshal(&o.Public)) || !bytes.Equal(name, o.Name) {
			t.Errorf("public area %x of Name %x", public, name)
		}
		if !bytes.Equal(got, qualified) {
			t.Errorf("the qualified name is %x, not %x", got, qualified)
		}
		qualified = append([]byte{0, byte(tcg.TPMAlgSHA256)}, hash(qualified, child.Name)...)
	}
}

func TestReadPublicCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCReadPublic)
	c.row(tcg.TPMRCSequence, "a sequence", handles{sequence(tpm)})
	c.row(tcg.TPMRCReferenceH0, "no such object", handles{0x8000000F})
	c.row(tcg.TPMRCHandle.H(1), "no such persistent object", handles{0x81000001})
	c.row(tcg.TPMRCValue.H(1), "a hierarchy", handles{owner})
}

func TestUnsealCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCUnseal)
	parent := tpm.Primary(owner, storage(), none)
	c.row(tcg.TPMRCType.H(1), "an asymmetric key", handles{parent.Handle})
	c.row(tcg.TPMRCType.H(1), "a sequence", handles{sequence(tpm)})
	c.row(tcg.TPMRCAttributes.H(1), "an HMAC key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle})
	public := external(tpm, tpm.Create(parent.Handle, tpmtest.Sealed(), data("x")).Public, nil)
	c.row(tcg.TPMRCAuthUnavailable, "the public area alone", handles{public})
}

// TestObjectChangeAuth: the object that is loaded again has the new value, and
// the one that is loaded the old one (Part 3, 12.8).
func TestObjectChangeAuth(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	parent := tpm.Primary(owner, storage(), none)
	o := tpm.Create(parent.Handle, tpmtest.Sealed(), tcg.TPMSSensitiveCreate{UserAuth: []byte("old"), Data: []byte("data")})
	private := take(tpm.Do(tcg.TPMCCObjectChangeAuth, handles{o.Handle, parent.Handle}, auths{tpmtest.Password("old")}, "new"))
	again := tpm.Do(tcg.TPMCCLoad, handles{parent.Handle}, nil, private, o.Public).Handle
	unseal := func(h tcg.TPMHandle, auth tpmtest.Password) tcg.TPMRC {
		return tpm.Run(tcg.TPMCCUnseal, handles{h}, auths{auth}).Code
	}
	for _, c := range []struct {
		h    tcg.TPMHandle
		auth tpmtest.Password
		want tcg.TPMRC
	}{
		{o.Handle, "old", tcg.TPMRCSuccess}, {o.Handle, "new", tcg.TPMRCBadAuth.S(1)},
		{again, "new", tcg.TPMRCSuccess}, {again, "old", tcg.TPMRCBadAuth.S(1)},
	} {
		if rc := unseal(c.h, c.auth); rc != c.want {
			t.Errorf("%#x with %q: %v, not %v", c.h, c.auth, rc, c.want)
		}
	}
}

func TestObjectChangeAuthCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCObjectChangeAuth)
	parent := tpm.Primary(owner, storage(), none)
	other := tpm.Primary(owner, tpmtest.ECC(sign), none)
	o := tpm.Create(parent.Handle, tpmtest.Sealed(), data("x"))
	h := handles{o.Handle, parent.Handle}
	c.row(tcg.TPMRCSize.P(1), "longer than nameAlg's digest", h, make33())
	c.row(tcg.TPMRCType.H(2), "not the parent", handles{o.Handle, tpm.Primary(endorsement, storage(), none).Handle}, "new")
	c.row(tcg.TPMRCType.H(2), "no parent at all", handles{o.Handle, other.Handle}, "new")
	c.row(tcg.TPMRCType.H(1), "a sequence", handles{sequence(tpm), parent.Handle}, "new")
	admin := tpmtest.Sealed()
	admin.ObjectAttributes |= tcg.TPMAObjectAdminWithPolicy
	c.row(tcg.TPMRCAuthType, "a password, where ADMIN needs a policy",
		handles{tpm.Create(parent.Handle, admin, data("x")).Handle, parent.Handle}, "new")
	c.row(tcg.TPMRCSuccess, "32 bytes, and zeros that do not count", h, append(make33()[:32], 0))
}

// make33 is one byte more than SHA-256 has.
func make33() []byte { return bytes.Repeat([]byte{1}, 33) }
