package verify

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
)

// An agent is what Keylime's registrar knows of a machine, and the folder of its
// tenant.
type agent struct {
	t      testing.TB
	w      *world
	dir    string
	cert   []byte                      // ekcert
	key    *tpm2.CreatePrimaryResponse // that EK_TPM has
	pem    *tpm2.CreatePrimaryResponse // that EK has
	policy map[string]any
	at     time.Time
}

func newAgent(t testing.TB, w *world) *agent {
	t.Helper()
	a := &agent{t: t, w: w, dir: t.TempDir(), cert: w.va.cert, key: w.va.ek, pem: w.va.ek, policy: map[string]any{"roots": []string{"site.pem"}}, at: now}
	if err := os.Mkdir(filepath.Join(a.dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	a.put("site.pem", pemOf(w.site.Certificate.Raw))
	a.put("store/README", []byte("certificates of hosts"))
	a.put("store/a.pem", pemOf(w.a.issuer.Certificate.Raw))
	a.put("store/b.der", w.b.issuer.Certificate.Raw)
	return a
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (a *agent) put(name string, b []byte) string {
	a.t.Helper()
	name = filepath.Join(a.dir, name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return name
}

// environment returns the variables as Keylime's tenant sets them: EK in PEM from
// the TPM2B_PUBLIC, which is EK_TPM in base64; EK_CERT in base64, or empty.
func (a *agent) environment() map[string]string {
	a.t.Helper()
	public, err := a.pem.OutPublic.Contents()
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := tpm2.Pub(*public)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return map[string]string{
		"AGENT_UUID": "d432fbb3-d2f1-4a97-9ef7-75bd81c00000", "PROVKEYS": "{}", "TPM_CERT_STORE": filepath.Join(a.dir, "store"),
		"EK":      string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"EK_TPM":  base64.StdEncoding.EncodeToString(tpm2.Marshal(a.key.OutPublic)),
		"EK_CERT": base64.StdEncoding.EncodeToString(a.cert),
	}
}

// check runs the command on the variables.
func (a *agent) check(env map[string]string) (*outcome, string) {
	a.t.Helper()
	b, err := json.Marshal(a.policy)
	if err != nil {
		a.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	args := []string{"--keylime", "--json", "--policy", a.put("policy.json", b), "--time", a.at.Format(time.RFC3339)}
	code := ekCommand(args, func(name string) string { return env[name] }, nil, &out, &errs)
	o := new(outcome)
	if err := json.Unmarshal(out.Bytes(), o); err != nil || o.Code != code {
		o.Code = code
	}
	return o, out.String() + errs.String()
}

// certified replaces the certificate by one with other claims.
func (a *agent) certified(change func(*cert.VTPMClaims)) {
	v := *a.w.va
	change(&v.claims)
	a.cert = v.certify(a.w.a.issuer, v.ek, days(30))
}

// revoke puts the lists of site and host into the policy, which both revoke
// nothing but these.
func (a *agent) revoke(host, ek *x509.Certificate) {
	lists, err := revocationLists(a.w.crls(host, ek, days(2)), new(Policy))
	if err != nil {
		a.t.Fatal(err)
	}
	var names []string
	for i, l := range lists {
		names = append(names, a.put(fmt.Sprint(i, ".crl"), l.Raw))
	}
	a.policy["crls"], a.policy["requireCRLs"] = names, true
}

type ekCase struct {
	name   string
	want   int
	change func(*agent)
}

func ekCases() []ekCase {
	field := func(name string, value any) func(*agent) { return func(a *agent) { a.policy[name] = value } }
	claim := func(c func(*cert.VTPMClaims)) func(*agent) { return func(a *agent) { a.certified(c) } }
	return []ekCase{
		{"good", exitAccepted, func(*agent) {}},
		{"all that can be asked", exitAccepted, func(a *agent) {
			a.revoke(nil, nil)
			for name, value := range map[string]any{"managers": []string{hex.EncodeToString(a.w.a.claims.Manager[:])}, "managerMinVersion": 3,
				"uuids": []string{hex.EncodeToString(a.w.va.claims.UUID[:])}, "groups": []int{7}, "images": []string{"1a" + strings.Repeat("00", 31)},
				"minVersion": 2, "maxLedgerEpoch": 1, "maxEpoch": 0} {
				a.policy[name] = value
			}
		}},
		{"RSA", exitAccepted, func(a *agent) {
			a.key = a.w.va.primary(tpm2.RSAEKTemplate)
			a.pem, a.cert = a.key, a.w.va.certify(a.w.a.issuer, a.key, days(30))
		}},
		{"the host's certificate was renewed", exitAccepted, func(a *agent) {
			der, err := a.w.site.Host(a.w.a.issuer.Key.Public(), &a.w.a.claims, cert.Terms{NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, -1)})
			a.put("store/0.pem", pemOf(parsed(a.t, der, err).Raw))
		}},
		{"other root", int(Untrusted), func(a *agent) { a.put("site.pem", pemOf(a.w.stranger().Raw)) }},
		{"no root", int(Untrusted), field("roots", []string{})},
		{"no certificate of the host", int(Untrusted), func(a *agent) { os.Remove(filepath.Join(a.dir, "store/a.pem")) }},
		{"expired", int(NotValidNow), func(a *agent) { a.at = now.AddDate(0, 0, 31) }},
		{"host expired", int(NotValidNow), func(a *agent) {
			a.cert, a.at = a.w.va.certify(a.w.a.issuer, a.w.va.ek, days(90)), now.AddDate(0, 0, 91)
		}},
		{"not valid yet", int(NotValidNow), func(a *agent) { a.at = now.AddDate(0, 0, -2) }},
		{"revoked", int(Revoked), func(a *agent) { a.revoke(nil, parsed(a.t, a.cert, nil)) }},
		{"host revoked", int(Revoked), func(a *agent) { a.revoke(a.w.a.issuer.Certificate, nil) }},
		{"no revocation list", int(NoRevocation), field("requireCRLs", true)},
		{"certificate of another key", int(EKKey), func(a *agent) { a.cert = a.w.vb.cert }},
		{"another key in EK", int(EKKey), func(a *agent) { a.pem = a.w.vb.ek }},
		{"another key in EK_TPM", int(EKKey), func(a *agent) { a.key = a.w.vb.ek }},
		{"hardware wanted", int(Virtual), field("hardwareOnly", true)},
		{"other manager", int(Manager), field("managers", []string{strings.Repeat("00", 16)})},
		{"old manager", int(ManagerVersion), field("managerMinVersion", 4)},
		{"other uuid", int(UUID), field("uuids", []string{strings.Repeat("00", 16)})},
		{"other group", int(Group), field("groups", []int{8})},
		{"other image", int(Image), field("images", []string{strings.Repeat("00", 32)})},
		{"old image", int(Version), field("minVersion", 3)},
		{"ledger restored", int(Restored), field("maxLedgerEpoch", 0)},
		{"restored", int(Restored), func(a *agent) {
			a.policy["maxEpoch"] = 0
			a.certified(func(c *cert.VTPMClaims) { c.Epoch = 1 })
		}},
		{"can be moved", int(Migratable), claim(func(c *cert.VTPMClaims) { c.Migratable = true })},
		{"certificate of an attestation key", int(EKCertificate), func(a *agent) {
			der, err := a.w.a.issuer.AK(a.w.va.ak.OutPublic.Bytes(), &a.w.va.claims, days(30))
			a.cert, a.key, a.pem = parsed(a.t, der, err).Raw, a.w.va.ak, a.w.va.ak
		}},
		{"no claims", int(Untrusted), func(a *agent) { a.cert = a.w.plainEK() }},
		{"no claims, and the site among the makers", int(EKClaims), func(a *agent) {
			a.cert, a.policy["vendors"] = a.w.plainEK(), []string{"site.pem"}
		}},
		{"asks what no certificate says", exitFailed, field("requireXSM", true)},
		{"hardware", exitAccepted, func(a *agent) { a.maker(now.AddDate(1, 0, 0)); a.policy["hardwareOnly"] = true }},
		{"hardware of an unknown maker", int(Untrusted), func(a *agent) {
			a.maker(now.AddDate(1, 0, 0))
			a.put("maker.pem", pemOf(a.w.stranger().Raw))
		}},
		{"hardware, no maker", int(Untrusted), func(a *agent) { a.maker(now.AddDate(1, 0, 0)); delete(a.policy, "vendors") }},
		{"hardware, its maker is a site", int(Untrusted), func(a *agent) {
			a.maker(now.AddDate(1, 0, 0))
			a.policy["roots"], a.policy["vendors"] = []string{"maker.pem"}, []string{"site.pem"}
		}},
		{"hardware, expired", int(NotValidNow), func(a *agent) { a.maker(now.AddDate(0, 0, -1)) }},
		{"hardware, revoked", int(Revoked), func(a *agent) {
			maker := a.maker(now.AddDate(1, 0, 0))
			der, err := maker.CRL(1, []cert.Revocation{{Serial: parsed(a.t, a.cert, nil).SerialNumber, Time: now}}, days(2))
			if err != nil {
				a.t.Fatal(err)
			}
			a.policy["crls"] = []string{a.put("maker.crl", der)}
		}},
		{"hardware, no revocation list", int(NoRevocation), func(a *agent) { a.maker(now.AddDate(1, 0, 0)); a.policy["requireCRLs"] = true }},
	}
}

// maker has a maker of TPMs certify the key as that of a hardware TPM: with an
// empty subject, so that subjectAltName is critical.
func (a *agent) maker(until time.Time) *cert.Issuer {
	a.t.Helper()
	key := newKey(a.t)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Maker of TPMs"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(20, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	root = parsed(a.t, der, err)
	name, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1}, Value: "id:1"}}})
	if err != nil {
		a.t.Fatal(err)
	}
	san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}})
	if err != nil {
		a.t.Fatal(err)
	}
	der, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.AddDate(-1, 0, 0), NotAfter: until,
		BasicConstraintsValid: true, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}}},
		root, parsed(a.t, a.w.va.cert, nil).PublicKey, key)
	a.cert = parsed(a.t, der, err).Raw
	a.put("maker.pem", pemOf(root.Raw))
	a.policy["vendors"] = []string{"maker.pem"}
	return &cert.Issuer{Certificate: root, Key: key}
}

// TestKeylime: each case differs in one thing from one that is accepted.
func TestKeylime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range ekCases() {
		a := newAgent(t, w)
		c.change(a)
		o, out := a.check(a.environment())
		if o.Code != c.want || o.Accepted != (c.want == exitAccepted) || o.Accepted != (o.EK != nil) {
			t.Errorf("%s: code %d, want %d (%s)\n%s", c.name, o.Code, c.want, Reason(c.want), out)
		}
	}
}

// TestKeylimeVariables: what Keylime leaves empty, or fills otherwise, is refused.
func TestKeylimeVariables(t *testing.T) {
	t.Parallel()
	a := newAgent(t, newWorld(t))
	for _, c := range []struct {
		name, value string
		want        Reason
	}{{"EK_CERT", "", Incomplete}, {"EK_CERT", "emulator", Malformed}, {"EK_CERT", "AAAA", Malformed}, {"EK", "", Malformed}, {"EK", "key", Malformed},
		{"EK_TPM", "", Malformed}, {"EK_TPM", "%", Malformed}, {"EK_TPM", "AAAA", Malformed}, {"EK_TPM", a.environment()["EK_TPM"] + "AAAA", Malformed},
		{"TPM_CERT_STORE", "", Untrusted}} {
		env := a.environment()
		env[c.name] = c.value
		if o, out := a.check(env); o.Code != int(c.want) || o.Accepted {
			t.Errorf("%s=%q: code %d, want %s\n%s", c.name, c.value, o.Code, c.want, out)
		}
	}
}

// TestEKEveryBit: a certificate in which one bit is another one is refused.
func TestEKEveryBit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &Policy{roots: []*x509.Certificate{w.site.Certificate}, vendors: []*x509.Certificate{w.site.Certificate}}
	e := Endorsement{Keys: []crypto.PublicKey{parsed(t, w.va.cert, nil).PublicKey}, Chain: []*x509.Certificate{w.a.issuer.Certificate, w.b.issuer.Certificate}, Now: now}
	for i := -1; i < 8*len(w.va.cert); i++ {
		b := bytes.Clone(w.va.cert)
		if i >= 0 {
			b[i/8] ^= 1 << (i % 8)
		}
		var err error
		if e.Certificate, err = x509.ParseCertificate(b); err != nil {
			continue
		}
		var refusal *Refusal
		if _, err := VerifyEK(&e, p); (err == nil) != (i < 0) || err != nil && !errors.As(err, &refusal) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
}

// TestKeylimeScript runs the script as Keylime does: without arguments, in its
// folder, with its variables besides those of the tenant.
func TestKeylimeScript(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds stubtpm: not with -short")
	}
	bin, w := t.TempDir(), newWorld(t)
	if b, err := exec.Command("go", "build", "-o", filepath.Join(bin, "real"), "stubtpm/tools/stubtpm").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	// The certificates are of another time.
	put(t, filepath.Join(bin, "stubtpm"), fmt.Appendf(nil, "#!/bin/sh\nexec %s/real \"$@\" --time %s\n", bin, now.Format(time.RFC3339)))
	if err := os.Chmod(filepath.Join(bin, "stubtpm"), 0o700); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("keylime-ek-check")
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[int]func(*agent){
		exitAccepted: func(*agent) {},
		int(EKKey):   func(a *agent) { a.cert = w.vb.cert },
		int(Virtual): func(a *agent) { a.policy["hardwareOnly"] = true },
		exitFailed:   func(a *agent) { a.policy = nil },
	} {
		a := newAgent(t, w)
		change(a)
		c := exec.Command(script)
		c.Dir = a.dir
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STUBTPM_EK_POLICY="+filepath.Join(a.dir, "policy.json"))
		if a.policy != nil {
			b, err := json.Marshal(a.policy)
			if err != nil {
				t.Fatal(err)
			}
			a.put("policy.json", b)
		}
		for name, value := range a.environment() {
			c.Env = append(c.Env, name+"="+value)
		}
		out, err := c.CombinedOutput()
		if got := c.ProcessState.ExitCode(); got != want || len(out) == 0 {
			t.Errorf("exit code %d, want %d: %v\n%s", got, want, err, out)
		}
	}
}

// TestEKCommand: certificate and key come from files, too.
func TestEKCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAgent(t, w)
	key := a.put("ek.pem", []byte(a.environment()["EK"]))
	a.pem = w.vb.ek
	other := a.put("other.pem", []byte(a.environment()["EK"]))
	args := []string{"--policy", a.put("policy.json", []byte(`{"roots": ["site.pem"]}`)), "--chain", filepath.Join(a.dir, "store/a.pem"), "--time", now.Format(time.RFC3339)}
	file, both := a.put("ek.der", a.cert), a.put("both.pem", append(pemOf(a.cert), pemOf(w.a.issuer.Certificate.Raw)...))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{append(args, file), exitAccepted, "vTPM +" + hex.EncodeToString(w.va.claims.UUID[:])},
		{append(args, "--ek", key, "-"), exitAccepted, "ACCEPTED"},
		{append(args[:2:2], "--time", args[5], both), exitAccepted, "ACCEPTED"},
		{append(args, "--ek", other, file), int(EKKey), "REFUSED  ek-key"},
		{append(args, "--ek", file, file), exitFailed, "no PEM"},
		{append(args, a.put("empty", nil)), int(Malformed), "no certificate"},
		{append(args, "--chain", filepath.Join(a.dir, "absent"), file), exitFailed, "absent"},
		{append(args, "--chain", filepath.Join(a.dir, "store/README"), file), exitFailed, "README"},
		{append(args, filepath.Join(a.dir, "absent")), exitFailed, "absent"},
		{append(args, "--time", "noon", file), exitFailed, "--time"},
		{args, exitUsage, "usage"}, {append(args, "--keylime", file), exitUsage, "usage"}, {[]string{file}, exitUsage, "usage"}, {[]string{"-h"}, exitAccepted, "--keylime"},
	} {
		var out bytes.Buffer
		code := ekCommand(c.args, func(string) string { return "" }, bytes.NewReader(pemOf(a.cert)), &out, &out)
		if code != c.code || !containsText(out.String(), c.want) {
			t.Errorf("%v: code %d, want %d\n%s", c.args, code, c.code, out.String())
		}
	}
}

// containsText reports whether s has the words of want, which blanks separate.
func containsText(s, want string) bool {
	return strings.Contains(strings.Join(strings.Fields(s), " "), strings.Join(strings.Fields(strings.ReplaceAll(want, " +", " ")), " "))
}

// FuzzKeylime: variables at will are refused with a reason, unless they have the
// certificate and its key.
func FuzzKeylime(f *testing.F) {
	w := newWorld(f)
	a := newAgent(f, w)
	env := a.environment()
	f.Add(env["EK_CERT"], env["EK"], env["EK_TPM"])
	f.Add("emulator", "", "AAAA")
	p := &Policy{roots: []*x509.Certificate{w.site.Certificate}}
	f.Fuzz(func(t *testing.T, certificate, key, inTPM string) {
		got := map[string]string{"EK_CERT": certificate, "EK": key, "EK_TPM": inTPM}
		e, err := keylimeEndorsement(func(name string) string { return got[name] })
		if err == nil {
			e.Chain, e.Now = []*x509.Certificate{w.a.issuer.Certificate}, now
			_, err = VerifyEK(e, p)
		}
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Error(err)
		}
		if err == nil && !bytes.Equal(e.Certificate.Raw, w.va.cert) {
			t.Error("a certificate that nobody made is accepted")
		}
	})
}
