package command_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// outside is a key on P-256 that was made outside the TPM.
func outside(t *testing.T, attributes tcg.TPMAObject) (tcg.TPMTPublic, tcg.TPMTSensitive) {
	t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := tpmtest.ECC(attributes)
	p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
	q := k.PublicKey().Bytes()
	p.UniqueECC = tcg.TPMSECCPoint{X: q[1:33], Y: q[33:]}
	return p, tcg.TPMTSensitive{SensitiveType: tcg.TPMAlgECC, Sensitive: k.Bytes()}
}

// outsideMAC is an HMAC key that was made outside the TPM.
func outsideMAC(key string) (tcg.TPMTPublic, tcg.TPMTSensitive) {
	p := tpmtest.HMAC(0)
	p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
	s := tcg.TPMTSensitive{SensitiveType: tcg.TPMAlgKeyedHash, SeedValue: make([]byte, 32), Sensitive: []byte(key)}
	p.UniqueDigest = hash(s.SeedValue, s.Sensitive)
	return p, s
}

// TestLoadExternal: a key from outside works, and its public area alone verifies
// (Part 3, 12.3).
func TestLoadExternal(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	p, s := outside(t, sign)
	key, public := external(tpm, p, &s), external(tpm, p, nil)
	digest := hash([]byte("message"))
	r := tpm.Do(tcg.TPMCCSign, handles{key}, nil, digest, ecdsa, nil)
	tpm.Do(tcg.TPMCCVerifySignature, handles{public}, nil, digest, tpmtest.Raw(r.Params))
	tpm.Want(tcg.TPMRCAuthUnavailable, tcg.TPMCCSign, handles{public}, nil, digest, ecdsa, nil)
	// Its qualified name does not claim a place in a hierarchy.
	r = tpm.Do(tcg.TPMCCReadPublic, handles{key}, nil)
	take(r)
	if name, qualified := take(r), take(r); !bytes.Equal(name, qualified) {
		t.Errorf("the qualified name is %x, and the Name %x", qualified, name)
	}
	// An HMAC key gives the MAC of its key.
	mp, ms := outsideMAC("key")
	mac := tpm.Do(tcg.TPMCCHMAC, handles{external(tpm, mp, &ms)}, nil, "data", nil)
	if got := take(mac); !bytes.Equal(got, hmacOf("key", "data")) {
		t.Errorf("the MAC is %x", got)
	}
}

func TestLoadExternalCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCLoadExternal)
	p, s := outside(t, sign)
	c.row(tcg.TPMRCHierarchy.P(3), "a private part, in the owner's hierarchy", nil, s, p, owner)
	c.row(tcg.TPMRCValue.P(3), "no hierarchy", nil, nil, p, lockout)
	for _, a := range []tcg.TPMAObject{tcg.TPMAObjectFixedTPM, tcg.TPMAObjectFixedParent, restricted} {
		fixed := p
		fixed.ObjectAttributes |= a
		c.row(tcg.TPMRCAttributes.P(2), "a private part, and fixedTPM, fixedParent or restricted", nil, s, fixed, null)
	}
	other, _ := outside(t, sign)
	c.row(tcg.TPMRCBinding.P(1), "the public key of another", nil, s, other, null)
	mp, ms := outsideMAC("key")
	ms.Sensitive = []byte("another")
	c.row(tcg.TPMRCBinding.P(1), "the public area of another HMAC key", nil, ms, mp, null)
	c.row(tcg.TPMRCType.P(1), "a private part of another type", nil, ms, p, null)
	off := p
	off.UniqueECC.X = bytes.Clone(p.UniqueECC.Y)
	c.row(tcg.TPMRCECCPoint.P(1), "a point off the curve", nil, nil, off, null)
	large := s
	large.Sensitive = bytes.Repeat([]byte{0xFF}, 32)
	c.row(tcg.TPMRCKeySize.P(1), "a scalar beyond the order", nil, large, p, null)
	policy := p
	policy.AuthPolicy = make33()
	c.row(tcg.TPMRCSize.P(2), "authPolicy not as long as nameAlg's digest", nil, s, policy, null)
	long := s
	long.AuthValue = make33()
	c.row(tcg.TPMRCSize.P(1), "an authorization value that is too long", nil, long, p, null)
	scheme := p
	scheme.ObjectAttributes |= decrypt
	scheme.ECC.Scheme = ecdsa
	c.row(tcg.TPMRCScheme.P(2), "a scheme, for signing and decryption", nil, nil, scheme, null)
	rsa := tpmtest.RSA(sign)
	rsa.UniqueRSA = bytes.Repeat([]byte{0xFF}, 255)
	c.row(tcg.TPMRCKey.P(1), "a modulus of another size", nil, nil, rsa, null)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false)
	c.row(tcg.TPMRCHierarchy.P(3), "a hierarchy that is disabled", nil, nil, p, owner)
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", nil, nil, p, null)
}
