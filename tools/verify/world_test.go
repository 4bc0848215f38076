package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	device "stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// now is the verifier's clock in all tests.
var now = time.Date(2030, 6, 15, 12, 0, 0, 0, time.UTC)

// A tpm is this project's device, as a host's chip or as a vTPM.
type tpm struct {
	t  testing.TB
	d  *device.Device
	ak *tpm2.CreatePrimaryResponse
}

func (v *tpm) Save([]byte) error { return nil }

func (v *tpm) Send(command []byte) ([]byte, error) {
	return bytes.Clone(v.d.Execute(0, command)), nil
}

func newTPM(t testing.TB) *tpm {
	t.Helper()
	v := &tpm{t: t}
	var err error
	if v.d, err = device.Manufacture(device.Config{Store: v}); err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(v); err != nil {
		t.Fatal(err)
	}
	v.ak = v.primary(akTemplate(tpm2.TPMAlgSHA256))
	return v
}

func (v *tpm) primary(template tpm2.TPMTPublic) *tpm2.CreatePrimaryResponse {
	v.t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	return r
}

func akTemplate(hash tpm2.TPMIAlgHash) tpm2.TPMTPublic {
	t := tpm2.ECCSRKTemplate
	t.ObjectAttributes.Decrypt, t.ObjectAttributes.SignEncrypt = false, true
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: hash})},
		CurveID: tpm2.TPMECCNistP256,
	})
	return t
}

func (v *tpm) extend(pcr int, digest [32]byte) {
	v.t.Helper()
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
}

// quote quotes PCRs 0, 4 and 7 with a key.
func (v *tpm) quote(key *tpm2.CreatePrimaryResponse, nonce evidence.Hash) *evidence.Quote {
	v.t.Helper()
	sel := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 4, 7)}}}
	scheme := tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
	q, err := tpm2.Quote{SignHandle: tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce[:]}, InScheme: scheme, PCRSelect: sel}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	r, err := tpm2.PCRRead{PCRSelectionIn: sel}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	out := &evidence.Quote{Key: key.OutPublic.Bytes(), Attest: q.Quoted.Bytes(), Signature: tpm2.Marshal(q.Signature)}
	for i, d := range r.PCRValues.Digests {
		out.PCRs = append(out.PCRs, evidence.PCR{Bank: 0x000B, Index: []uint8{0, 4, 7}[i], Digest: d.Buffer})
	}
	return out
}

// A machine is a host with its manager.
type machine struct {
	*tpm
	issuer *cert.Issuer
	claims cert.HostClaims
}

// A virtual is a vTPM on a machine.
type virtual struct {
	*tpm
	on     *machine
	ek     *tpm2.CreatePrimaryResponse
	claims cert.VTPMClaims
	cert   []byte
	log    []byte
}

// A world is a site with two machines, and what a verifier asked.
type world struct {
	t     testing.TB
	site  *cert.Issuer
	a, b  *machine
	va    *virtual // the one that is asked
	vb    *virtual // another on the same machine
	other *virtual // on the other machine
	nonce []byte
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func parsed(t testing.TB, der []byte, err error) *x509.Certificate {
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

func days(n int) cert.Terms {
	return cert.Terms{NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, n)}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, site: &cert.Issuer{Key: newKey(t)}, nonce: bytes.Repeat([]byte{0x4E}, 32)}
	der, err := cert.Site(w.site.Key, "Example site", days(365))
	w.site.Certificate = parsed(t, der, err)
	w.a, w.b = w.machine(0xA), w.machine(0xB)
	w.va, w.vb, w.other = w.virtual(w.a, 1), w.virtual(w.a, 2), w.virtual(w.b, 3)
	return w
}

func (w *world) machine(id byte) *machine {
	w.t.Helper()
	m := &machine{tpm: newTPM(w.t), issuer: &cert.Issuer{Key: newKey(w.t)}}
	m.claims = cert.HostClaims{Manager: [16]byte{id}, AK: m.ak.Name.Buffer, Image: [32]byte{0xEE}, SecurityVersion: 3}
	der, err := w.site.Host(m.issuer.Key.Public(), &m.claims, days(90))
	m.issuer.Certificate = parsed(w.t, der, err)
	m.extend(0, [32]byte{id})
	return m
}

var testModel = cert.Model{Manufacturer: "id:53545542", Name: "stubtpm", Version: "id:00010000"}

func (w *world) virtual(m *machine, id byte) *virtual {
	w.t.Helper()
	v := &virtual{tpm: newTPM(w.t), on: m}
	v.ek = v.primary(tpm2.ECCEKTemplate)
	v.claims = cert.VTPMClaims{UUID: [16]byte{id}, Manager: m.claims.Manager, Group: 7, LedgerEpoch: 1, Image: [32]byte{0x1A}, SecurityVersion: 2, Profile: "pc-client"}
	v.cert = v.certify(m.issuer, v.ek, days(30))
	v.measure(4, "kernel")
	return v
}

func (v *virtual) certify(i *cert.Issuer, key *tpm2.CreatePrimaryResponse, t cert.Terms) []byte {
	v.t.Helper()
	der, err := i.EK(key.OutPublic.Bytes(), &v.claims, testModel, t)
	if err != nil {
		v.t.Fatal(err)
	}
	return der
}

// measure extends a PCR and writes it to the log.
func (v *virtual) measure(pcr int, what string) {
	if v.log == nil {
		v.log = specID()
	}
	digest := sha256.Sum256([]byte(what))
	v.extend(pcr, digest)
	b := binary.LittleEndian.AppendUint32(v.log, uint32(pcr))
	b = binary.LittleEndian.AppendUint32(b, 0x0D) // EV_IPL
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint16(b, 0x000B)
	b = append(b, digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(what)))
	v.log = append(b, what...)
}

// specID returns the first event of a log with SHA-256 only.
func specID() []byte {
	data := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0B, 0, 32, 0, 0)
	b := append(make([]byte, 4), 3, 0, 0, 0) // PCR 0, EV_NO_ACTION
	b = append(b, make([]byte, 20)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// statement returns what the manager knows of v now.
func (w *world) statement(v *virtual) *evidence.Statement {
	hash, err := cert.KeyHash(parsed(w.t, v.cert, nil).PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &evidence.Statement{Manager: v.on.claims.Manager, UUID: v.claims.UUID, Group: v.claims.Group, LedgerEpoch: v.claims.LedgerEpoch,
		Epoch: v.claims.Epoch, Time: uint64(now.Unix()) - 2, Image: [32]byte{0x1A}, Measurer: evidence.Host,
		Flags: evidence.XSMEnforcing | evidence.StartMeasured, SecurityVersion: 2, Guard: evidence.Strict,
		ManagerImage: [32]byte{0xEE}, ManagerSecurityVersion: 3, Start: evidence.Start{Program: [32]byte{0x5B}, Reporter: evidence.Host, Measurer: "a host 1"}, Nonce: w.nonce, AK: v.ak.Name.Buffer, EKs: [][32]byte{{9}, hash}}
	rand.Read(s.Salt[:])
	return s
}

// A making is evidence in the making; its steps can be changed.
type making struct {
	w         *world
	of        *virtual
	statement func(*evidence.Statement) // before it is put in the tree
	hardware  func(*evidence.Hash)      // what the chip is asked to quote over
	guest     func(*evidence.Hash)      // what the vTPM is asked to quote over
	guestKey  *tpm2.CreatePrimaryResponse
	chipKey   *tpm2.CreatePrimaryResponse
}

// changes reports whether a step is changed.
func (m making) changes() bool {
	return m.statement != nil || m.hardware != nil || m.guest != nil || m.guestKey != nil || m.chipKey != nil
}

// make returns evidence of a vTPM, whose statement is one of five in the tree.
func (m making) make() *evidence.Evidence {
	w, v := m.w, m.of
	w.t.Helper()
	s := w.statement(v)
	if m.statement != nil {
		m.statement(s)
	}
	raw := marshal(w.t, s)
	leaves := []evidence.Hash{{1}, {2}, evidence.Leaf(raw), {4}, {5}}
	over := evidence.HardwareNonce(v.on.claims.Manager, 5, evidence.Root(leaves))
	if m.hardware != nil {
		m.hardware(&over)
	}
	chipKey, guestKey := v.on.ak, v.ak
	if m.chipKey != nil {
		chipKey = m.chipKey
	}
	if m.guestKey != nil {
		guestKey = m.guestKey
	}
	hw := v.on.quote(chipKey, over)
	under := evidence.GuestNonce(raw, hw.Attest)
	if m.guest != nil {
		m.guest(&under)
	}
	return &evidence.Evidence{
		Chain: v.on.issuer.Certificate.Raw, EK: v.cert, Statement: raw, Proof: evidence.Prove(leaves, 2).Marshal(),
		Hardware: marshal(w.t, hw), Guest: marshal(w.t, v.quote(guestKey, under)), GuestLog: v.log,
	}
}

func marshal(t testing.TB, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// crls returns lists of site and host A, which revoke nothing.
func (w *world) crls(revokedHost, revokedEK *x509.Certificate, t cert.Terms) []byte {
	w.t.Helper()
	var all []byte
	for _, l := range []struct {
		by *cert.Issuer
		of *x509.Certificate
	}{{w.site, revokedHost}, {w.a.issuer, revokedEK}} {
		var revoked []cert.Revocation
		if l.of != nil {
			revoked = []cert.Revocation{{Serial: l.of.SerialNumber, Time: now}}
		}
		der, err := l.by.CRL(1, revoked, t)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, der...)
	}
	return all
}

// attestNoQuote returns an attestation by v's key that is no quote.
func (v *tpm) attestNoQuote() (attest, signature []byte) {
	v.t.Helper()
	own := tpm2.NamedHandle{Handle: v.ak.ObjectHandle, Name: v.ak.Name}
	r, err := tpm2.Certify{ObjectHandle: tpm2.AuthHandle{Handle: own.Handle, Name: own.Name, Auth: tpm2.PasswordAuth(nil)},
		SignHandle: tpm2.AuthHandle{Handle: own.Handle, Name: own.Name, Auth: tpm2.PasswordAuth(nil)}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	return r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature)
}

// rehost gives machine a another certificate for the same key.
func (w *world) rehost(change func(*cert.HostClaims)) *cert.Issuer {
	w.t.Helper()
	claims := w.a.claims
	change(&claims)
	der, err := w.site.Host(w.a.issuer.Key.Public(), &claims, days(90))
	return &cert.Issuer{Certificate: parsed(w.t, der, err), Key: w.a.issuer.Key}
}
