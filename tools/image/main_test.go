package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		want string // in the output, or in the error
	}{
		{"config manager -disk /dev/d", 0, `iomem = ["fed40,5"]`},
		{"config vtpm -uuid 5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e01", 0, `vtpm = ["backend=vtpmmgr,uuid=5f1c0a52-`},
		{"config vtpm", 1, "-uuid is needed"},
		{"config vtpm -uuid no", 1, "vtpm uuid"},
		{"config guest -backend vtpm-1", 0, `vtpm = ["backend=vtpm-1"]`},
		{"config other", 2, "usage"},
		{"measure /no/such/file", 1, "no such file"},
		{"manifest /no/such/dir", 1, "no *.elf"},
		{"", 2, "usage"},
	} {
		var out, errs bytes.Buffer
		code := exit(run(strings.Fields(c.args), &out, &errs), &errs)
		if all := out.String() + errs.String(); code != c.code || !strings.Contains(all, c.want) {
			t.Errorf("image %s: code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, all)
		}
	}
}
