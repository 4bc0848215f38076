package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"stubtpm/image"
	"stubtpm/tools/site"
	"stubtpm/tools/verify"
	"stubtpm/tools/xenlab/lab"
)

// evidenceCommand is tools/stubtpm-guest in a guest.
const evidenceCommand = "/usr/sbin/stubtpm-guest"

// A trust is a site and a verifier, on the machine that runs the lab: neither has a
// network to it, as files go to and fro.
type trust struct {
	*Stack
	r   Report
	dir string // of the files
}

// Trust has a site admit the host, the vTPM certified, and its guest's evidence appraised
// outside. managerFile is the manager's image on this machine; dir is for files. It
// returns the guest that runs at the end.
func (s *Stack) Trust(ctx context.Context, r Report, managerFile, dir string) (*lab.Guest, error) {
	t := trust{s, r, dir}
	if err := t.admit(ctx, managerFile); err != nil {
		return nil, err
	}
	r.Step("vTPM and guest start again")
	if err := s.Destroy(ctx, guestName, vtpmName); err != nil {
		return nil, err
	}
	g, err := s.startPair(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := t.certificates(ctx, guest{g, r}); err != nil {
		return nil, err
	}
	return g, t.evidence(ctx, guest{g, r})
}

func (t *trust) file(name string) string { return filepath.Join(t.dir, name) }

// put copies a file of this machine into dom0, and get one of dom0 to here.
func (t *trust) put(ctx context.Context, name string) error {
	b, err := os.ReadFile(t.file(name))
	if err == nil {
		_, err = t.M.Dom0.RunInput(ctx, "cat > /"+name, b)
	}
	return err
}

func (t *trust) get(ctx context.Context, name string) error {
	out, err := t.M.Dom0.Run(ctx, "base64 /"+name)
	if err != nil {
		return err
	}
	return t.decode(name, out)
}

// decode writes a file from base64.
func (t *trust) decode(name, text string) error {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(t.file(name), b, 0o600)
}

// site runs `stubtpm site`.
func (t *trust) site(args ...string) error {
	var out bytes.Buffer
	if code := site.Command(append(args, "--dir", t.file("site")), nil, &out, &out); code != 0 {
		return fmt.Errorf("stubtpm site %s: exit code %d: %s", strings.Join(args, " "), code, out.String())
	}
	t.r.Show("site", "stubtpm site "+strings.Join(args, " "), strings.TrimSpace(out.String()))
	return nil
}

// mgr runs `stubtpm mgr identity` in dom0.
func (t *trust) mgr(ctx context.Context, args string) error {
	out, err := t.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" identity "+args)
	t.r.Show("dom0", "stubtpm mgr identity "+args, strings.TrimSpace(out))
	return err
}

// admit has a new site admit this host, whose hardware TPM is one of the lab's maker.
func (t *trust) admit(ctx context.Context, managerFile string) error {
	t.r.Step("a site is made, offline, and admits the host")
	if err := t.found(managerFile); err != nil {
		return err
	}
	return t.admitTo(ctx, "lab")
}

// found makes a site, which admits hosts with a manager's image.
func (t *trust) found(managerFile string) error {
	if err := t.site("init", "--name", "Lab site"); err != nil {
		return err
	}
	if err := os.MkdirAll(t.file("site/vendors"), 0o700); err != nil {
		return err
	}
	measured, err := image.Measure(managerFile)
	if err != nil {
		return err
	}
	policy := fmt.Sprintf(`{"months": 3, "managerImages": [%q], "minVersion": 0, "pcrs": {"7": []}, "crl": "", "crlDays": 30}`, measured.Loaded)
	return os.WriteFile(t.file("site/policy.json"), []byte(policy), 0o600)
}

// admitTo has the site admit this host. maker is a name for that of its hardware TPM.
func (t *trust) admitTo(ctx context.Context, maker string) error {
	vendor, err := t.M.Vendor()
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.file("site/vendors/"+maker+".pem"), vendor, 0o600); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return t.mgr(ctx, "request -o /request --image "+managerImage) },
		func() error { return t.get(ctx, "request") },
		func() error {
			return t.site("certify-host", "--request", t.file("request"), "--out", t.file("challenge"))
		},
		func() error { return t.put(ctx, "challenge") },
		func() error { return t.mgr(ctx, "answer /challenge -o /answer") },
		func() error { return t.get(ctx, "answer") },
		func() error {
			return t.site("certify-host", "--request", t.file("request"), "--answer", t.file("answer"), "--out", t.file("host.pem"))
		},
		func() error { return copyFile(t.file("site.pem"), t.file("site/site.pem")) },
		func() error { return t.put(ctx, "host.pem") },
		func() error { return t.put(ctx, "site.pem") },
		func() error { return t.mgr(ctx, "certificate /host.pem /site.pem") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	check(t.r, "the site admits a host whose hardware TPM answers its challenge", true, "")
	return nil
}

// copyFile copies a file.
func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	return err
}

// certificates reads the vTPM's certificates with stock tools, and verifies them with
// openssl.
func (t *trust) certificates(ctx context.Context, g guest) error {
	out, err := g.run(ctx, `for i in 0x1c00002 0x1c0000a 0x1c00016 0x1c00100 0x1c00101; do tpm2_nvread $i -o c 2>/dev/null; echo "file $i"; base64 c; done
tpm2_getekcertificate -o ek-rsa.der -o ek-ecc.der >/dev/null; tpm2_nvread 0x1c00002 -o r 2>/dev/null; cmp r ek-rsa.der && echo stock tools read the same`)
	check(t.r, "guest: stock tools read the certificates", err == nil && strings.Contains(out, "stock tools read the same"), "%v\n%s", err, out)
	if err != nil {
		return err
	}
	parts := strings.Split(out, "file ")
	if len(parts) != 6 {
		return fmt.Errorf("%d certificates: %s", len(parts)-1, out)
	}
	for _, p := range parts[1:] {
		name, text, _ := strings.Cut(p, "\n")
		text, _, _ = strings.Cut(text, "stock tools")
		if err := t.decode(name+".der", text); err != nil {
			return err
		}
	}
	pem := func(der string) (string, error) {
		out, err := exec.CommandContext(ctx, "openssl", "x509", "-inform", "DER", "-in", t.file(der), "-out", t.file(der+".pem")).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("openssl x509: %w: %s", err, out)
		}
		return t.file(der + ".pem"), nil
	}
	host, err := pem("0x1c00100.der")
	if err != nil {
		return err
	}
	for _, der := range []string{"0x1c00002.der", "0x1c0000a.der", "0x1c00016.der"} {
		ek, err := pem(der)
		if err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "openssl", "verify", "-CAfile", t.file("site.pem"), "-untrusted", host, ek).CombinedOutput()
		t.r.Show("verifier", "openssl verify -CAfile site.pem -untrusted host.pem "+der, strings.TrimSpace(string(out)))
		check(t.r, "openssl verifies the certificate at NV index "+strings.TrimSuffix(der, ".der")+" up to the site", err == nil, "%v\n%s", err, out)
	}
	return nil
}

// evidence has the guest answer a nonce, and appraises the answer.
func (t *trust) evidence(ctx context.Context, g guest) error {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	policy := `{"roots": ["site.pem"], "measuredBy": ["nobody"], "maxAge": "1h"}`
	if err := os.WriteFile(t.file("policy.json"), []byte(policy), 0o600); err != nil {
		return err
	}
	start := time.Now()
	out, err := g.run(ctx, evidenceCommand+" evidence --nonce "+hex.EncodeToString(nonce)+" -o e --tpm /dev/tpm0; base64 e")
	if err != nil {
		return fmt.Errorf("evidence: %w\n%s\n%s\n%s", err, out, t.Since(vtpmName), t.Since(managerName))
	}
	if err := t.decode("evidence", out); err != nil {
		return err
	}
	t.r.Show("guest1", "stubtpm-guest evidence --nonce HEX -o FILE", fmt.Sprintf("%v", time.Since(start).Round(10*time.Millisecond)))
	code, table := t.verify(nonce)
	t.r.Show("verifier", "stubtpm verify --policy policy.json --nonce HEX evidence", table)
	check(t.r, "the verifier accepts the guest's evidence", code == 0, "exit code %d\n%s", code, table)
	nonce[0] ^= 1
	code, table = t.verify(nonce)
	check(t.r, "and refuses it for another nonce", code == int(verify.Nonce), "exit code %d\n%s", code, table)
	nonce[0] ^= 1

	// A guest cannot change what it is certified as, whatever hierarchy it has.
	out, err = g.run(ctx, `for i in 0x1c0000a 0x1c00100; do for c in o p; do
printf x > x; tpm2_nvwrite $i -C $c -i x >/dev/null 2>&1 && echo written; tpm2_nvundefine $i -C $c >/dev/null 2>&1 && echo gone; done; done; echo tried`)
	check(t.r, "guest: no hierarchy writes or deletes a certificate", err == nil && strings.TrimSpace(out) == "tried", "%v\n%s", err, out)

	if _, err := t.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" status"); err != nil {
		return err
	}
	return nil
}

func (t *trust) verify(nonce []byte) (code int, table string) {
	var out bytes.Buffer
	code = verify.Command([]string{"--policy", t.file("policy.json"), "--nonce", hex.EncodeToString(nonce), t.file("evidence")}, nil, &out, &out)
	return code, out.String()
}
