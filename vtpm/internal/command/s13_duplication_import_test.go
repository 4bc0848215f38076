package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

func TestImportCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCImport)
	parent := tpm.Primary(owner, storage(), none)
	h := handles{parent.Handle}
	o := tpm.Create(parent.Handle, movable(tpm), data("x"))
	r := tpm.Do(tcg.TPMCCDuplicate, handles{o.Handle, parent.Handle}, auths{mayDuplicate(tpm)}, nil, nil)
	take(r)
	blob, seed := take(r), take(r)
	r = tpm.Do(tcg.TPMCCDuplicate, handles{o.Handle, null}, auths{mayDuplicate(tpm)}, innerKey, aes128)
	take(r)
	inner := take(r)
	changed := func(f func(p *tcg.TPMTPublic)) tcg.TPMTPublic {
		p := o.Public
		f(&p)
		return p
	}
	set := func(a tcg.TPMAObject) tcg.TPMTPublic {
		return changed(func(p *tcg.TPMTPublic) { p.ObjectAttributes |= a })
	}

	c.row(tcg.TPMRCSuccess, "as it is", h, nil, o.Public, blob, seed, nil)
	c.row(tcg.TPMRCSuccess, "in an inner wrapper", h, innerKey, o.Public, inner, nil, aes128)
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none).Handle
	c.row(tcg.TPMRCType.H(1), "the parent signs", handles{signs}, nil, o.Public, blob, seed, nil)
	cipher := tpm.Primary(owner, tpmtest.AES(tpmtest.Parent), none).Handle
	c.row(tcg.TPMRCType.H(1), "a seed for a symmetric parent", handles{cipher}, nil, o.Public, blob, seed, nil)
	c.row(tcg.TPMRCAttributes.P(2), "fixedTPM", h, nil, set(tcg.TPMAObjectFixedTPM), blob, seed, nil)
	c.row(tcg.TPMRCAttributes.P(2), "fixedParent", h, nil, set(tcg.TPMAObjectFixedParent), blob, seed, nil)
	c.row(tcg.TPMRCAttributes.P(1), "encryptedDuplication, and no inner wrapper", h, nil, set(tcg.TPMAObjectEncryptedDuplication), blob, seed, nil)
	c.row(tcg.TPMRCAttributes.P(4), "encryptedDuplication, and no outer wrapper", h, innerKey, set(tcg.TPMAObjectEncryptedDuplication), inner, nil, aes128)
	c.row(tcg.TPMRCSize.P(1), "a key without an algorithm", h, innerKey, o.Public, inner, nil, nil)
	c.row(tcg.TPMRCSize.P(1), "a key of another size", h, innerKey[:15], o.Public, inner, nil, aes128)
	c.row(tcg.TPMRCSize.P(1), "an algorithm without a key", h, nil, o.Public, inner, nil, aes128)
	c.row(tcg.TPMRCIntegrity.P(3), "another public area", h, nil, set(tcg.TPMAObjectAdminWithPolicy), blob, seed, nil)
	bad := bytes.Clone(blob)
	bad[len(bad)-1] ^= 1
	c.row(tcg.TPMRCIntegrity.P(3), "a bit of the outer wrapper is turned", h, nil, o.Public, bad, seed, nil)
	bad = bytes.Clone(inner)
	bad[len(bad)-1] ^= 1
	c.row(tcg.TPMRCIntegrity.P(3), "a bit of the inner wrapper is turned", h, innerKey, o.Public, bad, nil, aes128)
	c.row(tcg.TPMRCInsufficient.P(3), "the inner wrapper is cut", h, innerKey, o.Public, inner[:1], nil, aes128)
	c.row(tcg.TPMRCInsufficient.P(4), "the seed is cut", h, nil, o.Public, blob, seed[:20], nil)
	c.row(tcg.TPMRCHash.P(2), "no nameAlg", h, nil, changed(func(p *tcg.TPMTPublic) { p.NameAlg = tcg.TPMAlgNull }), blob, seed, nil)

	// Without a wrapper anybody can make up a private part.
	made := func(s tcg.TPMTSensitive) []byte {
		var w tcg.Writer
		w.Nested(s.Marshal)
		return w.B
	}
	p, s := outsideMAC("key")
	c.row(tcg.TPMRCSuccess, "a key from outside", h, nil, p, made(s), nil, nil)
	other := s
	other.Sensitive = []byte("another")
	c.row(tcg.TPMRCBinding.P(3), "the private part of another", h, nil, p, made(other), nil, nil)
	other = s
	other.AuthValue = make33()
	c.row(tcg.TPMRCSize.P(3), "an authorization value that is too long", h, nil, p, made(other), nil, nil)
	contradicts := p
	contradicts.ObjectAttributes |= restricted | decrypt
	c.row(tcg.TPMRCAttributes.P(2), "attributes that contradict each other", h, nil, contradicts, made(s), nil, nil)
	c.row(tcg.TPMRCSize.P(3), "bytes after the private part", h, nil, p, append(made(s), 0), nil, nil)
	ecc, es := outside(t, sign)
	c.row(tcg.TPMRCType.P(3), "the private part of another type", h, nil, ecc, made(s), nil, nil)
	c.row(tcg.TPMRCSuccess, "an ECC key from outside", h, nil, ecc, made(es), nil, nil)
}
