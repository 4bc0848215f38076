package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// schemeOf is a TPMT_SIG_SCHEME.
func schemeOf(hash tcg.TPMAlgID) tpmtest.Raw { return be(tcg.TPMAlgECDSA, hash) }

// TestNVCertify: what is certified is what the index holds, or its digest if
// neither size nor offset says a part, signed by the key (Part 3, 31.16).
func TestNVCertify(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	x := define(tpm, owner, index(8, byOwner))
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "contents", 0)
	key := tpm.Primary(endorsement, tpmtest.ECC(sign), none)
	for _, c := range []struct {
		key          tcg.TPMHandle
		hash         tcg.TPMAlgID
		size, offset int
	}{
		{key.Handle, tcg.TPMAlgSHA256, 3, 2}, {null, tcg.TPMAlgSHA256, 3, 2},
		{key.Handle, tcg.TPMAlgSHA256, 0, 0}, {null, tcg.TPMAlgSHA256, 0, 0}, {null, tcg.TPMAlgSHA256, 0, 8},
	} {
		r := tpm.Do(tcg.TPMCCNVCertify, handles{c.key, owner, x}, nil, "qualifying", schemeOf(c.hash), c.size, c.offset)
		attest := take(r)
		if c.key != null {
			tpm.Do(tcg.TPMCCVerifySignature, handles{c.key}, nil, hash(attest), tpmtest.Raw(r.Rest()))
		} else if got := r.Rest(); !bytes.Equal(got, be(tcg.TPMAlgNull)) {
			t.Errorf("no key, and the signature is %x", got)
		}
		var a tcg.TPMSAttest
		in := tcg.NewReader(attest, nil)
		a.Unmarshal(&in)
		if in.Err() != tcg.TPMRCSuccess || a.Magic != tcg.TPMGeneratedValue || string(a.ExtraData) != "qualifying" {
			t.Errorf("%v: malformed: %x", in.Err(), attest)
		}
		kind, name := tcg.TPMSTAttestNV, a.NV.IndexName
		good := string(a.NV.NVContents) == "contents"[c.offset:][:c.size] && int(a.NV.Offset) == c.offset
		if c.size == 0 && c.offset == 0 {
			kind, name = tcg.TPMSTAttestNVDigest, a.NVDigest.IndexName
			good = bytes.Equal(a.NVDigest.NVDigest, hash([]byte("contents")))
		}
		if a.Type != kind || !bytes.Equal(name, tpm.Name(x)) || !good {
			t.Errorf("%d bytes from %d: %+v", c.size, c.offset, a)
		}
	}
	// Without a key the scheme says which digest.
	r := tpm.Do(tcg.TPMCCNVCertify, handles{null, owner, x}, nil, nil, schemeOf(tcg.TPMAlgSHA384), 0, 0)
	if sum := tpm.Do(tcg.TPMCCHash, nil, nil, "contents", tcg.TPMAlgSHA384, null); !bytes.Contains(r.Params, take(sum)) {
		t.Error("the digest is not of the scheme's algorithm")
	}
}

func TestNVCertifyCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVCertify)
	x := define(tpm, owner, index(1100, byOwner|tcg.TPMANVReadSTClear))
	key := authority(tpm)
	h := handles{key.Handle, owner, x}
	signing := func(key tcg.TPMHandle) handles { return handles{key, owner, x} }
	c.row(tcg.TPMRCNVUninitialized, "nothing is written", h, nil, nil, 0, 0)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "x", 0)
	c.row(tcg.TPMRCKey.H(1), "the key decrypts", signing(tpm.Primary(owner, tpmtest.ECC(decrypt), none).Handle), nil, nil, 0, 0)
	c.row(tcg.TPMRCKey.H(1), "a sequence", signing(sequence(tpm)), nil, nil, 0, 0)
	c.row(tcg.TPMRCKey.H(1), "a cipher", signing(tpm.Primary(owner, tpmtest.AES(sign), none).Handle), nil, nil, 0, 0)
	c.row(tcg.TPMRCAuthUnavailable.S(1), "a public key", signing(external(tpm, key.Public, nil)), nil, nil, 0, 0)
	c.row(tcg.TPMRCScheme.P(2), "no scheme", signing(tpm.Primary(owner, tpmtest.ECC(sign), none).Handle), nil, nil, 0, 0)
	c.row(tcg.TPMRCScheme.P(2), "another scheme than the key's", h, nil, schemeOf(tcg.TPMAlgSHA384), 0, 0)
	c.row(tcg.TPMRCScheme.P(2), "no algorithm for the digest", signing(null), nil, nil, 0, 0)
	c.row(tcg.TPMRCSize.P(1), "too much qualifying data", h, make([]byte, 67), nil, 0, 0)
	c.row(tcg.TPMRCNVAuthorization, "read by the platform", handles{key.Handle, platform, x}, nil, nil, 0, 0)
	c.row(tcg.TPMRCAuthUnavailable.S(2), "read by the index", handles{key.Handle, x, x}, nil, nil, 0, 0)
	c.row(tcg.TPMRCHandle.H(3), "no such index", handles{key.Handle, owner, x + 1}, nil, nil, 0, 0)
	c.row(tcg.TPMRCNVRange, "beyond the data", h, nil, nil, 1, 1100)
	c.row(tcg.TPMRCValue.P(4), "an offset beyond the data", h, nil, nil, 0, 1101)
	c.row(tcg.TPMRCValue.P(3), "more than a buffer", h, nil, nil, 1025, 0)
	c.row(tcg.TPMRCSuccess, "a buffer", h, nil, nil, 1024, 76)
	tpm.Do(tcg.TPMCCNVReadLock, handles{owner, x}, nil)
	c.row(tcg.TPMRCNVLocked, "it is locked", h, nil, nil, 0, 0)
}
