package hosted_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/tools/hosted/tpmproc"
)

// TestSwtpmSetup has swtpm's own setup tool make EKs and their certificates in
// the device, with a certificate authority in a temporary directory, and reads
// the certificate back.
func TestSwtpmSetup(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a certificate authority: not with -short")
	}
	for _, name := range []string{"swtpm_setup", "swtpm_localca", "tpm2_nvread", "openssl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed (packages swtpm-tools, tpm2-tools, openssl)")
		}
	}
	dir := t.TempDir()
	program, err := tpmproc.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("ca.conf", "statedir = DIR\nsigningkey = DIR/signkey.pem\nissuercert = DIR/issuercert.pem\ncertserial = DIR/certserial\n")
	write("ca.options", "--platform-manufacturer test\n--platform-version 1\n--platform-model test\n")
	conf := write("setup.conf", "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = DIR/ca.conf\ncreate_certs_tool_options = DIR/ca.options\n")
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	setup := exec.Command("swtpm_setup", "--tpm2", "--tpm", strings.Join(program, " "), "--tpmstate", state,
		"--config", conf, "--create-ek-cert", "--create-platform-cert", "--pcr-banks", "-")
	if b, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("swtpm_setup: %v: %s", err, tail(string(b), 8))
	}

	tpm, err := tpmproc.Start(program, state)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Stop()
	read := exec.Command("sh", "-ec", `
tpm2_nvread -C p -o ek.der 0x1c00002
openssl x509 -inform der -in ek.der -noout -pubkey > cert.pem
tpm2_readpublic -Q -c 0x81010001 -f pem -o ek.pem
cmp cert.pem ek.pem`)
	read.Dir = dir
	read.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+tpm.Data)
	if b, err := read.CombinedOutput(); err != nil {
		t.Errorf("certificate: %v: %s", err, b)
	}
}

// swtpm_setup finds a TPM that is there, encrypted or not, and a new one where
// the old was to be overwritten.
func TestSwtpmSetupOverwrite(t *testing.T) {
	if testing.Short() {
		t.Skip("makes several TPMs: not with -short")
	}
	if _, err := exec.LookPath("swtpm_setup"); err != nil {
		t.Skip("swtpm_setup is not installed (package swtpm-tools)")
	}
	dir := t.TempDir()
	program, err := tpmproc.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	state, key := filepath.Join(dir, "state"), filepath.Join(dir, "key")
	if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(key, []byte(strings.Repeat("5c", 32)), 0o600)); err != nil {
		t.Fatal(err)
	}
	setup := func(extra ...string) ([]byte, error) {
		t.Helper()
		args := append([]string{"--tpm2", "--tpm", strings.Join(program, " "), "--tpmstate", state, "--createek", "--pcr-banks", "sha256"}, extra...)
		out, err := exec.Command("swtpm_setup", args...).CombinedOutput()
		b, _ := os.ReadFile(filepath.Join(state, "tpm2-00.permall"))
		t.Logf("%v: %v: %s", extra, err, tail(string(out), 1))
		return b, err
	}
	before, err := setup()
	if err != nil || len(before) == 0 {
		t.Fatalf("first: %v", err)
	}
	for _, c := range []struct {
		args    []string
		fails   bool
		changes bool
	}{
		{nil, true, false},
		{[]string{"--not-overwrite"}, false, false},
		{[]string{"--overwrite"}, false, true},
		{[]string{"--overwrite", "--keyfile", key}, false, true},
		{[]string{"--not-overwrite", "--keyfile", key}, false, false},
		{[]string{"--not-overwrite"}, false, false},
	} {
		after, err := setup(c.args...)
		if (err != nil) != c.fails {
			t.Errorf("%v: %v", c.args, err)
		}
		if bytes.Equal(before, after) == c.changes {
			t.Errorf("%v: the state changed: %v", c.args, !c.changes)
		}
		before = after
	}
}
