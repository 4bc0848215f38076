package verify

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/vtpmmgr/evidence"
)

// command runs Command on files in dir.
func command(t *testing.T, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Command(args, bytes.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func put(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCommand(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	e := making{w: w, of: w.va}.make()
	file := put(t, filepath.Join(dir, "evidence"), marshal(t, e))
	put(t, filepath.Join(dir, "site.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.site.Certificate.Raw}))
	policy := put(t, filepath.Join(dir, "policy.json"), []byte(`{"roots": ["site.pem"]}`))
	nonce, page := hex.EncodeToString(w.nonce), filepath.Join(dir, "page.html")
	args := []string{"--policy", policy, "--nonce", nonce, "--time", now.Format(time.RFC3339), "--html", page}

	code, out, errs := command(t, nil, append(args, file)...)
	if code != 0 || !strings.HasPrefix(out, "ACCEPTED") || !strings.Contains(out, hex.EncodeToString(w.va.claims.UUID[:])) || errs != "" {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("Example site")) || !bytes.Contains(b, []byte("the policy takes any vTPM")) || !bytes.Contains(b, []byte("</html>")) {
		t.Errorf("page: %v\n%s", err, b)
	}

	// JSON, evidence on stdin, flags after it, and a refusal.
	e.EK = w.other.cert
	code, out, _ = command(t, marshal(t, e), append([]string{"-", "--json"}, args...)...)
	var o outcome
	if err := json.Unmarshal([]byte(out), &o); err != nil || code != int(EKCertificate) || o.Code != code || o.Accepted || o.Reason != "ek-certificate" || o.Detail == "" || o.Result != nil {
		t.Errorf("code %d, %v: %s", code, err, out)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("Refused: ek-certificate")) {
		t.Errorf("page: %v\n%s", err, b)
	}
}

// TestCommandRefuses: what is wrong with the command line or the files never
// looks like a refusal of evidence, nor like its acceptance.
func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	policy := put(t, filepath.Join(dir, "policy.json"), []byte(`{}`))
	file := put(t, filepath.Join(dir, "evidence"), []byte("no evidence"))
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitUsage, nil},
		{exitUsage, []string{file}},
		{exitUsage, []string{"--policy", policy, file}},
		{exitUsage, []string{"--policy", policy, "--nonce", "00"}},
		{exitUsage, []string{"--policy", policy, "--nonce", "0", file}},
		{exitUsage, []string{"--policy", policy, "--nonce", "00", file, file}},
		{exitUsage, []string{"--policy", policy, "--nonce", "00", "--time", "today", file}},
		{exitUsage, []string{"--what", file}},
		{exitFailed, []string{"--policy", dir, "--nonce", "00", file}},
		{exitFailed, []string{"--policy", file, "--nonce", "00", file}},
		{exitFailed, []string{"--policy", policy, "--nonce", "00", dir}},
		{exitFailed, []string{"--policy", policy, "--nonce", "00", "--html", dir, file}},
		{int(Malformed), []string{"--policy", policy, "--nonce", "00", file}},
	} {
		if code, out, errs := command(t, nil, c.args...); code != c.code || code < int(Malformed) && (errs == "" || out != "") {
			t.Errorf("%v: code %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
	}
}

// TestOutput: text from a certificate neither moves a terminal's cursor nor
// becomes markup.
func TestOutput(t *testing.T) {
	t.Parallel()
	o := &outcome{Accepted: true, Result: &Result{Site: "CN=\x1b[2J<b>\u009b", Label: "a\nACCEPTED"}}
	var out bytes.Buffer
	if err := o.print(&out); err != nil || strings.ContainsAny(out.String(), "\x1b\u009b") || strings.Contains(out.String(), "\nACCEPTED") {
		t.Errorf("%v: %q", err, out.String())
	}
	page := filepath.Join(t.TempDir(), "page.html")
	if err := o.writePage(page); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(page); err != nil || bytes.Contains(b, []byte("<b>\u009b")) || bytes.Contains(b, []byte("=\x1b[2J<b>")) {
		t.Errorf("%v\n%s", err, b)
	}
}

// TestCommandSize: a file that is larger than evidence can be is not read whole.
func TestCommandSize(t *testing.T) {
	t.Parallel()
	if b, err := read("-", endless{}); err != nil || len(b) != evidence.MaxSize+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
