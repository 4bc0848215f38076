package hosted_test

import (
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
