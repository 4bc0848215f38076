package verifiers

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-attestation/attest"
	ekx509 "github.com/google/go-attestation/x509"
	pb "github.com/google/go-tpm-tools/proto/attest"
	tpmpb "github.com/google/go-tpm-tools/proto/tpm"
	"github.com/google/go-tpm-tools/server"
	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
)

// A device is a vTPM in process.
type device struct{ d *vtpm.Device }

func (v *device) Save([]byte) error { return nil }

func (v *device) Send(command []byte) ([]byte, error) {
	return bytes.Clone(v.d.Execute(0, command)), nil
}

func newDevice(t *testing.T) *device {
	t.Helper()
	v := new(device)
	var err error
	if v.d, err = vtpm.Manufacture(vtpm.Config{Store: v}); err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(v); err != nil {
		t.Fatal(err)
	}
	return v
}

func primary(t *testing.T, v *device, template tpm2.TPMTPublic) *tpm2.CreatePrimaryResponse {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// akTemplate is that of a key that signs attestations.
func akTemplate() tpm2.TPMTPublic {
	t := tpm2.ECCSRKTemplate
	t.ObjectAttributes.Decrypt, t.ObjectAttributes.SignEncrypt = false, true
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	})
	return t
}

// p384 is the template of an EK of P-384 (EK Credential Profile, template H-3).
func p384() tpm2.TPMTPublic {
	t := tpm2.ECCEKTemplate
	t.NameAlg = tpm2.TPMAlgSHA384
	t.ObjectAttributes.UserWithAuth = true
	t.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 48)}
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
			KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)), Mode: tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
		CurveID: tpm2.TPMECCNistP384,
	})
	t.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return t
}

var (
	claims = cert.VTPMClaims{UUID: [16]byte{1}, Manager: [16]byte{2}, Profile: "pc-client"}
	model  = cert.Model{Manufacturer: "id:53545542", Name: "stubtpm", Version: "id:00010000"}
)

// begin is one moment for all certificates of a test: none outlives its issuer.
var begin = time.Now().Add(-time.Minute)

func terms(days int) cert.Terms {
	return cert.Terms{NotBefore: begin, NotAfter: begin.AddDate(0, 0, days), CRL: "http://crl.example/host.crl"}
}

func parsed(t *testing.T, der []byte, err error) *x509.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// chain makes a site and a host below it.
func chain(t *testing.T) (site, host *cert.Issuer) {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	site, host = &cert.Issuer{Key: key()}, &cert.Issuer{Key: key()}
	der, err := cert.Site(site.Key, "Example site", terms(90))
	site.Certificate = parsed(t, der, err)
	der, err = site.Host(host.Key.Public(), &cert.HostClaims{Manager: claims.Manager, AK: append([]byte{0, 11}, make([]byte, 32)...)}, terms(60))
	host.Certificate = parsed(t, der, err)
	return site, host
}

// TestGoAttestationEK: go-attestation reads the certificates of all endorsement
// keys, and finds in them a TPM.
func TestGoAttestationEK(t *testing.T) {
	_, host := chain(t)
	v := newDevice(t)
	for name, template := range map[string]tpm2.TPMTPublic{"RSA-2048": tpm2.RSAEKTemplate, "P-256": tpm2.ECCEKTemplate, "P-384": p384()} {
		r := primary(t, v, template)
		if _, err := (tpm2.FlushContext{FlushHandle: r.ObjectHandle}).Execute(v); err != nil {
			t.Fatal(err)
		}
		der, err := host.EK(r.OutPublic.Bytes(), &claims, model, terms(30))
		if err != nil {
			t.Fatal(err)
		}
		ek, err := ekx509.ParseEKCertificate(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !ek.HasEkcExtendedKeyUsage || ek.TpmManufacturer != model.Manufacturer || ek.TpmModel != model.Name || ek.TpmVersion != model.Version ||
			ek.TpmSpecification != (ekx509.TpmSpecification{Family: "2.0", Revision: 185}) || len(ek.UnhandledCriticalExtensions) != 0 {
			t.Errorf("%s: %+v", name, ek)
		}
	}
}

// TestGoAttestationActivation goes from the certificate of an EK to a quote with
// go-attestation as verifier.
func TestGoAttestationActivation(t *testing.T) {
	_, host := chain(t)
	v := newDevice(t)
	ek := primary(t, v, tpm2.RSAEKTemplate)
	der, err := host.EK(ek.OutPublic.Bytes(), &claims, model, terms(30))
	if err != nil {
		t.Fatal(err)
	}
	certified, err := ekx509.ParseEKCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ak := primary(t, v, akTemplate())
	c, err := tpm2.CertifyCreation{
		SignHandle:   tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		ObjectHandle: tpm2.NamedHandle{Handle: ak.ObjectHandle, Name: ak.Name},
		CreationHash: ak.CreationHash, CreationTicket: ak.CreationTicket,
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
	}.Execute(v)
	if err != nil {
		t.Fatal(err)
	}
	p := attest.ActivationParameters{EK: certified.PublicKey, AK: attest.AttestationParameters{
		Public: ak.OutPublic.Bytes(), CreateData: ak.CreationData.Bytes(),
		CreateAttestation: c.CertifyInfo.Bytes(), CreateSignature: tpm2.Marshal(c.Signature)}}
	secret, challenge, err := p.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if got := activate(t, v, ek, ak, challenge); !bytes.Equal(got, secret) {
		t.Errorf("the vTPM opens the credential as %x, want %x", got, secret)
	}
	other := newDevice(t)
	otherEK, otherAK := primary(t, other, tpm2.RSAEKTemplate), primary(t, other, akTemplate())
	if _, err := activation(t, other, otherEK, otherAK, challenge).Execute(other); err == nil {
		t.Error("another vTPM opens the credential")
	}

	public, err := attest.ParseAKPublic(ak.OutPublic.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	nonce := sha256.Sum256([]byte("nonce"))
	q, pcrs := quote(t, v, ak, nonce[:])
	if err := public.Verify(attest.Quote{Quote: q.Quoted.Bytes(), Signature: tpm2.Marshal(q.Signature)}, pcrs, nonce[:]); err != nil {
		t.Error(err)
	}
	if err := public.Verify(attest.Quote{Quote: q.Quoted.Bytes(), Signature: tpm2.Marshal(q.Signature)}, pcrs, []byte("other")); err == nil {
		t.Error("another nonce is accepted")
	}
}

func activate(t *testing.T, v *device, ek, ak *tpm2.CreatePrimaryResponse, c *attest.EncryptedCredential) []byte {
	t.Helper()
	r, err := activation(t, v, ek, ak, c).Execute(v)
	if err != nil {
		t.Fatal(err)
	}
	return r.CertInfo.Buffer
}

func activation(t *testing.T, v *device, ek, ak *tpm2.CreatePrimaryResponse, c *attest.EncryptedCredential) tpm2.ActivateCredential {
	t.Helper()
	id, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](c.Credential)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](c.Secret)
	if err != nil {
		t.Fatal(err)
	}
	session, end, err := tpm2.PolicySession(v, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end() })
	if _, err := (tpm2.PolicySecret{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session.Handle(), NonceTPM: session.NonceTPM()}).Execute(v); err != nil {
		t.Fatal(err)
	}
	return tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.ObjectHandle, Name: ek.Name, Auth: session},
		CredentialBlob: *id, Secret: *secret,
	}
}

// quote quotes PCRs 0 to 7.
func quote(t *testing.T, v *device, ak *tpm2.CreatePrimaryResponse, nonce []byte) (*tpm2.QuoteResponse, []attest.PCR) {
	t.Helper()
	sel := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 1, 2, 3, 4, 5, 6, 7)}}}
	q, err := tpm2.Quote{SignHandle: tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: sel}.Execute(v)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tpm2.PCRRead{PCRSelectionIn: sel}.Execute(v)
	if err != nil {
		t.Fatal(err)
	}
	var pcrs []attest.PCR
	for i, d := range r.PCRValues.Digests {
		pcrs = append(pcrs, attest.PCR{Index: i, Digest: d.Buffer, DigestAlg: crypto.SHA256})
	}
	return q, pcrs
}

// TestGoTPMTools: go-tpm-tools' server accepts a quote by the certificate of its
// key, up to the site's root, and not below another site.
func TestGoTPMTools(t *testing.T) {
	site, host := chain(t)
	v := newDevice(t)
	ak := primary(t, v, akTemplate())
	der, err := host.AK(ak.OutPublic.Bytes(), &claims, terms(30))
	if err != nil {
		t.Fatal(err)
	}
	nonce := sha256.Sum256([]byte("nonce"))
	q, pcrs := quote(t, v, ak, nonce[:])
	values := map[uint32][]byte{}
	for _, p := range pcrs {
		values[uint32(p.Index)] = p.Digest
	}
	a := &pb.Attestation{AkPub: ak.OutPublic.Bytes(), AkCert: der, IntermediateCerts: [][]byte{host.Certificate.Raw},
		Quotes: []*tpmpb.Quote{{Quote: q.Quoted.Bytes(), RawSig: tpm2.Marshal(q.Signature), Pcrs: &tpmpb.PCRs{Hash: tpmpb.HashAlgo_SHA256, Pcrs: values}}}}
	o := server.VerifyOpts{Nonce: nonce[:], TrustedRootCerts: []*x509.Certificate{site.Certificate}}
	if _, err := server.VerifyAttestation(a, o); err != nil {
		t.Error(err)
	}
	o.Nonce = []byte("other")
	if _, err := server.VerifyAttestation(a, o); err == nil {
		t.Error("another nonce is accepted")
	}
	other, _ := chain(t)
	o = server.VerifyOpts{Nonce: nonce[:], TrustedRootCerts: []*x509.Certificate{other.Certificate}}
	if _, err := server.VerifyAttestation(a, o); err == nil {
		t.Error("another site is accepted")
	}
}
