package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// vendorCA is the folder in the machine's folder of the certification authority that made
// the hardware TPM's EK certificate.
const vendorCA = "vendor"

// manufacture gives a new hardware TPM an endorsement key with a certificate, as its maker
// would, by Debian's swtpm_setup and swtpm_localca.
func (m *Machine) manufacture(ctx context.Context) error {
	ca := m.path(vendorCA)
	if err := os.RemoveAll(ca); err != nil {
		return err
	}
	if err := os.MkdirAll(ca, 0o700); err != nil {
		return err
	}
	absolute, err := filepath.Abs(ca)
	if err != nil {
		return err
	}
	files := map[string]string{
		"setup.conf": "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = " + absolute + "/localca.conf\ncreate_certs_tool_options = " + absolute + "/options.conf\n",
		"localca.conf": "statedir = " + absolute + "\nsigningkey = " + absolute + "/key.pem\nissuercert = " + absolute + "/issuer.pem\ncertserial = " + absolute +
			"/serial\n",
		"options.conf": "--platform-manufacturer lab\n--platform-version 1\n--platform-model lab\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(ca, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "swtpm_setup", "--tpm2", "--tpmstate", m.opt.TPMState, "--createek", "--create-ek-cert", "--lock-nvram",
		"--config", filepath.Join(ca, "setup.conf")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lab: swtpm_setup: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Vendor returns the certificates, in PEM, of the maker of a hardware TPM that was made
// with Options.Manufactured.
func (m *Machine) Vendor() ([]byte, error) {
	all, err := filepath.Glob(m.path(vendorCA) + "/*.pem")
	if err != nil {
		return nil, err
	}
	var pem []byte
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(b), "BEGIN CERTIFICATE") {
			pem = append(pem, b...)
		}
	}
	if pem == nil {
		return nil, fmt.Errorf("lab: no certificate in %s", m.path(vendorCA))
	}
	return pem, nil
}
