package site

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/identity"
)

// A console runs commands.
type console struct {
	t    *testing.T
	chip *chip
}

func (c *console) run(args ...string) (code int, out, errs string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	code = command(args, &stdout, &stderr, now, func(path string) (transport.TPMCloser, error) {
		if path != "chip" {
			return nil, errors.New("no such TPM")
		}
		return c.chip, nil
	})
	return code, stdout.String(), stderr.String()
}

// TestCommand: a site is made, a host certified and revoked, with the key in a
// file, in a file with a passphrase, and in a TPM.
func TestCommand(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	for _, kind := range []string{"file", "passphrase", "TPM"} {
		dir := t.TempDir()
		c, site := &console{t, newChip(t)}, filepath.Join(dir, "site")
		file := func(name string) string { return filepath.Join(dir, name) }
		var key []string
		switch kind {
		case "passphrase":
			key = []string{"--passphrase-file", put(t, file("pass"), []byte("secret\n"))}
		case "TPM":
			key = []string{"--tpm", "chip"}
		}
		must := func(args ...string) string {
			t.Helper()
			code, out, errs := c.run(append(append(args, "--dir", site), key...)...)
			if code != 0 || errs != "" {
				t.Fatalf("%s: %v: code %d\n%s%s", kind, args, code, out, errs)
			}
			return out
		}
		must("init", "--name", "Example site")
		put(t, filepath.Join(site, vendorsDir, "maker.der"), v.root.Raw)
		policy, err := json.Marshal(strict(m))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(site, policyFile), policy)
		request := marshal(t, m.request())
		put(t, file("request"), request)
		must("certify-host", "--request", file("request"), "--out", file("challenge"))
		challenge, err := os.ReadFile(file("challenge"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, file("answer"), marshal(t, m.answer(t, request, challenge)))
		must("certify-host", "--request", file("request"), "--answer", file("answer"), "--out", file("host.pem"))
		pemBytes, err := os.ReadFile(file("host.pem"))
		if err != nil {
			t.Fatal(err)
		}
		host, err := parseOne(pemBytes)
		if err != nil {
			t.Fatal(err)
		}
		if out := must("show"); !strings.Contains(out, "Example site") || !strings.Contains(out, "valid") {
			t.Error(out)
		}
		must("crl", "--revoke", "0a"+strings.Repeat("00", 15), "--out", file("site.crl"))
		if out := must("show"); !strings.Contains(out, "revoked") {
			t.Error(out)
		}
		der, err := os.ReadFile(file("site.crl"))
		if err != nil {
			t.Fatal(err)
		}
		if l, err := x509.ParseRevocationList(der); err != nil || len(l.RevokedCertificateEntries) != 1 || l.RevokedCertificateEntries[0].SerialNumber.Cmp(host.SerialNumber) != 0 {
			t.Errorf("%v", err)
		}
		var list []*Issued
		if err := json.Unmarshal([]byte(must("show", "--json")), &list); err != nil || len(list) != 1 || !bytes.Equal(list[0].Certificate, host.Raw) {
			t.Errorf("%v", err)
		}
	}
}

// TestEKFile: the operator gives the certificate that a chip does not hold.
func TestEKFile(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir, c := newSite(t, m, v), &console{t: t}
	r := m.request()
	r.Certificate = nil
	request := put(t, filepath.Join(t.TempDir(), "request"), marshal(t, r))
	if code, _, errs := c.run("certify-host", "--dir", dir, "--request", request); code != exitRefused || !strings.Contains(errs, "--ek-certificate") {
		t.Errorf("code %d: %s", code, errs)
	}
	ek := put(t, filepath.Join(t.TempDir(), "ek.pem"), pemOf(m.e.Certificate))
	if code, out, errs := c.run("certify-host", "--dir", dir, "--request", request, "--ek-certificate", ek); code != 0 || len(out) == 0 {
		t.Errorf("code %d: %s", code, errs)
	}
}

func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir, empty, c := newSite(t, m, v), t.TempDir(), &console{t: t}
	bad := put(t, filepath.Join(t.TempDir(), "bad"), nil)
	for _, x := range []struct {
		code int
		args string
	}{
		{exitUsage, ""}, {exitUsage, "sign"}, {exitUsage, "init --dir " + empty}, {exitUsage, "show more"}, {exitUsage, "show --request x"},
		{exitUsage, "certify-host --dir " + dir},
		{exitFailed, "init --name x --dir " + dir}, {exitFailed, "init --name x --years 0 --dir " + empty}, {exitFailed, "show --dir " + empty},
		{exitFailed, "init --name x --tpm none --dir " + empty}, {exitFailed, "init --name x --passphrase-file " + bad + " --dir " + empty},
		{exitFailed, "certify-host --request " + bad + " --dir " + dir}, {exitFailed, "certify-host --request none --dir " + dir},
		{exitFailed, "crl --revoke 00 --dir " + dir},
	} {
		if code, out, errs := c.run(strings.Fields(x.args)...); code != x.code || errs == "" || out != "" {
			t.Errorf("%q: code %d, want %d\n%s%s", x.args, code, x.code, out, errs)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 2 { // what a failed init may leave: the lock and vendors
		t.Errorf("%v, %v", left, err)
	}
}

func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `[]`, `{} {}`, `{}`, `{"months": 3}`, `{"months": 0, "crlDays": 1}`, `{"months": 3, "crlDays": 1, "managerImage": []}`,
		`{"months": 3, "crlDays": 1, "managerImages": ["AA"]}`, `{"months": 3, "crlDays": 1, "pcrs": {"24": []}}`, `{"months": 3, "crlDays": 1, "pcrs": {"07": []}}`,
		`{"months": 3, "crlDays": 1, "pcrs": {"7": ["00"]}}`, `{"months": 3, "crlDays": 1, "minVersion": -1}`} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"months": 3, "crlDays": 30, "managerImages": ["any"], "pcrs": {"7": []}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePolicy(b); err == nil && p.check() != nil {
			t.Error("a policy is accepted once only")
		}
	})
}

// FuzzRequest: whatever a request holds, the site refuses it or can challenge it.
func FuzzRequest(f *testing.F) {
	v := newVendor(f)
	m := newMachine(f, v)
	f.Add(marshal(f, m.request()))
	r := &reviewer{policy: strict(m), check: func(der, chain, public []byte) error {
		_, err := checkEK(der, chain, public, []*x509.Certificate{v.root}, now)
		return err
	}}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := r.review(b, nil)
		if err != nil {
			return
		}
		if _, _, err := a.challenge(now); err != nil {
			t.Error(err)
		}
	})
}

// FuzzAnswer: no answer but the chip's is taken. A signature can be written in more
// than one way.
func FuzzAnswer(f *testing.F) {
	v := newVendor(f)
	m := newMachine(f, v)
	request := marshal(f, m.request())
	a, err := (&reviewer{policy: strict(m), check: func(_, _, _ []byte) error { return nil }}).review(request, nil)
	if err != nil {
		f.Fatal(err)
	}
	c, w, err := a.challenge(now)
	if err != nil {
		f.Fatal(err)
	}
	answer := m.answer(f, request, marshal(f, c))
	good := marshal(f, answer)
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		err := a.checkAnswer(request, b, w, now)
		if err != nil {
			if bytes.Equal(b, good) {
				t.Error(err)
			}
			return
		}
		got, err := identity.ParseAnswer(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.Secret != answer.Secret || !bytes.Equal(got.Attest, answer.Attest) {
			t.Error("an answer that the chip did not give is taken")
		}
	})
}
