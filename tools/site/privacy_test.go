package site

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
)

// hardwareIdentity returns what names a chip: parts of its endorsement key and of
// the certificate by its maker.
func hardwareIdentity(t *testing.T, v *vendor, m *machine) map[string][]byte {
	t.Helper()
	c := parse(t, m.e.Certificate)
	_, key, err := cert.ParsePublic(m.e.Public)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	spki := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	whole := sha256.Sum256(c.Raw)
	return map[string][]byte{"x": point[1:33], "y": point[33:], "Name": name(t, identity.Key{Public: m.e.Public})[2:], "signature of the maker": c.Signature[8:40],
		"hash of the key": spki[:], "hash of the certificate": whole[:], "maker": []byte(v.root.Subject.CommonName)}
}

func found(parts map[string][]byte, in []byte) (names []string) {
	for name, b := range parts {
		if bytes.Contains(in, b) {
			names = append(names, name)
		}
	}
	return names
}

// TestNoHardwareIdentity: the site learns which chip a host has, and no verifier
// does: neither from the certificates of a vTPM, nor from whole evidence.
func TestNoHardwareIdentity(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	request := marshal(t, m.request())
	if err := admit(t, m, dir, request, &refusal{}); err != nil {
		t.Fatal(err)
	}
	var host *x509.Certificate
	at(t, dir, now, func(s *Site) { host = parse(t, s.Issued()[0].Certificate) })
	chip := hardwareIdentity(t, v, m)
	if got := found(chip, request); len(got) < 4 {
		t.Errorf("the site learns only %v", got)
	}
	e := m.evidence(t, host, newMachine(t, v), []byte("a nonce of the verifier, 30 byte"))
	for what, b := range map[string][]byte{"host certificate": e.Chain, "EK certificate of the vTPM": e.EK, "evidence": marshal(t, e)} {
		if got := found(chip, b); got != nil {
			t.Errorf("%s has of the chip: %v", what, got)
		}
	}
	// What the certificates of a vTPM lead to is the host's key of the site's certificate,
	// which another admission replaces.
	again := newMachine(t, v)
	if bytes.Equal(name(t, again.AK), name(t, m.AK)) {
		t.Error("two hosts have one attestation key")
	}
}

// TestNewPseudonym: a chip that is admitted again has other keys, so that the
// certificates of both admissions cannot be linked by them.
func TestNewPseudonym(t *testing.T) {
	t.Parallel()
	m := newMachine(t, newVendor(t))
	ak, certifier := m.AK, m.Certifier
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(m.AK.Public, ak.Public) || bytes.Equal(m.Certifier.Public, certifier.Public) {
		t.Error("the chip made the same keys again")
	}
}
