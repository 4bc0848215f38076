package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// A suite is tests of one package.
type suite struct {
	name string
	pkg  string
	copy bool // runs in the copy of go-tpm-tools

	// module is the Go module whose version counts, debian the package.
	module, debian string

	// test is the name of one test of this project that runs a Debian package's
	// programs; its subtests count as the suite's tests if there are any. sub
	// is one of them, if the suite is only that.
	test, sub string

	// flags are given to the suite.
	flags []string

	// skip are tests that need what the machine cannot be expected to have,
	// with the reason.
	skip map[string]string

	// known are tests that fail for a reason that is not the device's fault.
	// They are run, counted apart and named. A test whose failing subtests are
	// all known is known itself.
	known map[string]string
}

// Names of the modules.
const (
	goTPM        = "github.com/google/go-tpm"
	toolsModule  = "github.com/google/go-tpm-tools"
	toolsVersion = "v0.4.10"
)

func suites() []suite {
	internet := map[string]string{"TestNetworkFetchIssuingCertificate": "needs the internet"}
	list := []suite{
		{name: "go-tpm/tpm2", module: goTPM, pkg: goTPM + "/tpm2/test", known: map[string]string{
			"TestTestParms/rsa3072_-_unsupported": "the test expects a TPM without RSA-3072",
			"TestTestParms/rsa4096_-_unsupported": "the test expects a TPM without RSA-4096",
		}},
		{name: "go-tpm/tpm2-crypto", module: goTPM, pkg: goTPM + "/tpm2"},
		{name: "go-tpm/legacy", module: goTPM, pkg: goTPM + "/legacy/tpm2/test", flags: []string{"-run-clear"}},
		{name: "go-tpm-tools/simulator", module: toolsModule, pkg: toolsModule + "/simulator", copy: true, known: map[string]string{
			"TestFixedSeedExpectedModulus": "the test has the key that Microsoft's code derives from its seed; each implementation derives its own",
		}},
		{name: "go-tpm-tools/client", module: toolsModule, pkg: toolsModule + "/client", copy: true, skip: internet},
		{name: "go-tpm-tools/server", module: toolsModule, pkg: toolsModule + "/server", copy: true},
		{name: "debian/tpm2-tools", debian: "tpm2-tools", pkg: "stubtpm/tools/hosted", test: "TestTools"},
		{name: "debian/swtpm-tools", debian: "swtpm-tools", pkg: "stubtpm/tools/hosted", test: "TestSwtpmSetup"},
	}
	for _, s := range []struct{ name, pkg, script string }{
		{"tpm2-openssl", "tpm2-openssl", "openssl"},
		{"tpm2-pkcs11", "libtpm2-pkcs11-1", "pkcs11"},
		{"clevis", "clevis-tpm2", "clevis"},
		{"systemd", "systemd", "cryptenroll"},
		{"tpm2-pytss", "python3-tpm2-pytss", "pytss"},
		{"tpm2-abrmd", "tpm2-abrmd", "abrmd"},
	} {
		list = append(list, suite{name: "debian/" + s.name, debian: s.pkg, pkg: "stubtpm/tools/everyday", test: "TestEveryday", sub: s.script})
	}
	return list
}

// version is what of the suite ran.
func (s suite) version(dir string) (string, error) {
	cmd := exec.Command("dpkg-query", "-W", "-f", "${Version}", s.debian)
	if s.module == toolsModule {
		return toolsVersion, nil
	}
	if s.module != "" {
		cmd = exec.Command("go", "list", "-m", "-f", "{{.Version}}", s.module)
		cmd.Dir = dir
	}
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// args are those of the suite's go test.
func (s suite) args() []string {
	args := []string{"test", "-json", "-count=1", "-timeout=600s"}
	if s.test != "" {
		run := "^" + s.test + "$"
		if s.sub != "" {
			run += "/^" + s.sub + "$"
		}
		args = append(args, "-run", run)
	}
	if len(s.skip) > 0 {
		var names []string
		for n := range s.skip {
			names = append(names, n)
		}
		args = append(args, "-skip", "^("+strings.Join(names, "|")+")$")
	}
	args = append(args, s.pkg)
	if len(s.flags) > 0 {
		args = append(append(args, "-args"), s.flags...)
	}
	return args
}
