package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"", exitUsage, "Usage"},
		{"help", exitOK, "serve --state DIR"},
		{"--version", exitOK, "TPM emulator version"},
		{"bogus", exitUsage, `unknown command "bogus"`},
		{"serve", exitUsage, "-state DIR is missing"},
		{"serve -nonsense", exitUsage, "-nonsense"},
		{"socket --tpm2", exitFail, "--tpmstate"},
		{"socket --help", exitOK, "--ctrl"},
		{"chardev", exitFail, "--tpm2 is missing"},
		{"cuse", exitFail, "not supported"},
		{"verify-ek", exitUsage, "usage: stubtpm verify-ek"},
		{"property", exitUsage, "usage: stubtpm property"},
		{"property help", exitOK, "approve"},
	} {
		var out bytes.Buffer
		code := run(append([]string{"stubtpm"}, strings.Fields(c.args)...), nil, &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("stubtpm %s: code %d, %s", c.args, code, out.String())
		}
	}
}
