package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/tools/stubtpm-guest/gather"
	"stubtpm/tools/verify"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// A verifier trusts the host whose certificate is in a guest's NV memory, as its own root.
type verifier struct {
	t      testing.TB
	dir    string
	policy verify.Policy
}

func newVerifier(t testing.TB, g transport.TPM) *verifier {
	t.Helper()
	v := &verifier{t: t, dir: t.TempDir(), policy: verify.Policy{Roots: []string{"host.pem"}, AllowNoSite: true, MaxAge: "10m"}}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: readNV(t, g, vtpm.EKChain)})
	if err := os.WriteFile(filepath.Join(v.dir, "host.pem"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// appraises returns what the evidence says, or the reason for which it is refused.
func (v *verifier) appraises(b []byte, nonce []byte) (*verify.Result, error) {
	v.t.Helper()
	text, err := json.Marshal(&v.policy)
	if err != nil {
		v.t.Fatal(err)
	}
	file := filepath.Join(v.dir, "policy.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		v.t.Fatal(err)
	}
	p, err := verify.LoadPolicy(file)
	if err != nil {
		v.t.Fatal(err)
	}
	return verify.Verify(b, verify.Question{Nonce: nonce, Now: time.Now()}, p)
}

func (v *verifier) refuses(what string, b, nonce []byte, want verify.Reason) {
	v.t.Helper()
	_, err := v.appraises(b, nonce)
	var refusal *verify.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != want {
		v.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// answers has a guest answer a nonce.
func answers(t testing.TB, g transport.TPM, nonce []byte) []byte {
	t.Helper()
	e, err := gather.Evidence(g, nonce, []uint{0, 7})
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEvidence: what a guest gathers is accepted, says what is so, and is refused once it
// is so no more: for another nonce, after the vTPM was destroyed, after a restoration.
func TestEvidence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admin(testAdmin, func(c *proto.Client) error { _, err := c.IdentityRequest([32]byte{7}, 1); return err })
	s.admin(testHost, func(c *proto.Client) error { return c.Measured(uint16(s.next), [32]byte{9}) })
	id, end := s.boot(s.victim.uuid, s.victim.disk)
	front := s.next
	s.next++
	s.admin(testHost, func(c *proto.Client) error { return c.Created(uint16(front), s.victim.uuid) })
	f := s.attach(front, id, s.victim.uuid.String())
	g := guest{s.ctx, f}

	nonce := bytes.Repeat([]byte{1}, 32)
	first := answers(t, g, nonce)
	v := newVerifier(t, g)
	r, err := v.appraises(first, nonce)
	if err != nil {
		t.Fatal(err)
	}
	if r.UUID != hex.EncodeToString(s.victim.uuid[:]) || !r.StartMeasured || r.MeasuredBy != "host" || r.Epoch != 0 || r.XSM {
		t.Errorf("%+v", r)
	}
	t.Logf("evidence of %d bytes", len(first))
	v.refuses("another nonce", first, bytes.Repeat([]byte{2}, 32), verify.Nonce)

	checkAKCertificate(t, g)

	// A vTPM beside it answers for itself only.
	other, stop := s.guest(s.other.uuid, s.other.disk)
	theirs := answers(t, other, nonce)
	stop()
	a, b := parsed(t, first), parsed(t, theirs)
	for name, mixed := range map[string]*evidence.Evidence{
		"another's quote":       {Chain: a.Chain, EK: a.EK, Statement: a.Statement, Proof: a.Proof, Hardware: a.Hardware, Guest: b.Guest},
		"another's statement":   {Chain: a.Chain, EK: a.EK, Statement: b.Statement, Proof: b.Proof, Hardware: b.Hardware, Guest: a.Guest},
		"another's certificate": {Chain: a.Chain, EK: b.EK, Statement: a.Statement, Proof: a.Proof, Hardware: a.Hardware, Guest: a.Guest},
	} {
		raw, err := mixed.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.appraises(raw, nonce); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}

	// An old state is restored: its epoch is another, and its certificates are revoked.
	f.Close(s.ctx)
	end()
	var backup []byte
	s.admin(testAdmin, func(c *proto.Client) (err error) { backup, err = c.Backup(s.victim.uuid); return err })
	s.admin(testAdmin, func(c *proto.Client) error { _, _, err := c.Restore(backup); return err })
	g, stop = s.guest(s.victim.uuid, s.victim.disk)
	second := answers(t, g, nonce)
	if r, err = v.appraises(second, nonce); err != nil || r.Epoch != 1 {
		t.Errorf("after a restoration: %+v, %v", r, err)
	}
	zero := uint32(0)
	v.policy.MaxEpoch = &zero
	v.refuses("a restored vTPM, and the policy forbids it", second, nonce, verify.Restored)
	v.policy.MaxEpoch = nil
	stop()
	var crl []byte
	s.admin(testAdmin, func(c *proto.Client) (err error) { crl, err = c.RevocationList(); return err })
	if err := os.WriteFile(filepath.Join(v.dir, "host.crl"), crl, 0o600); err != nil {
		t.Fatal(err)
	}
	v.policy.CRLs = []string{"host.crl"}
	v.refuses("the evidence from before the restoration", first, nonce, verify.Revoked)
	if _, err := v.appraises(second, nonce); err != nil {
		t.Errorf("its own certificate is not revoked: %v", err)
	}

	s.admin(testAdmin, func(c *proto.Client) error { return c.Destroy(s.victim.uuid) })
	s.admin(testAdmin, func(c *proto.Client) (err error) { crl, err = c.RevocationList(); return err })
	if err := os.WriteFile(filepath.Join(v.dir, "host.crl"), crl, 0o600); err != nil {
		t.Fatal(err)
	}
	v.refuses("a destroyed vTPM's evidence", second, nonce, verify.Revoked)
}

func parsed(t testing.TB, b []byte) *evidence.Evidence {
	t.Helper()
	e, err := evidence.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// checkAKCertificate has a key certified, and follows the chain.
func checkAKCertificate(t testing.TB, g transport.TPM) {
	t.Helper()
	signer := tpm2.ECCSRKTemplate
	signer.ObjectAttributes.Decrypt, signer.ObjectAttributes.SignEncrypt = false, true
	signer.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
		Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}})
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(signer)}.Execute(g)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(g)
	der, chain, err := gather.AKCertificate(g, key.ObjectHandle)
	if err != nil || len(chain) == 0 {
		t.Fatal(err, chain)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	host, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := made.CheckSignatureFrom(host); err != nil {
		t.Error(err)
	}
	_, public, err := cert.ParsePublic(key.OutPublic.Bytes())
	if err != nil || !public.(*ecdsa.PublicKey).Equal(made.PublicKey) {
		t.Errorf("it is of another key: %v", err)
	}
}
