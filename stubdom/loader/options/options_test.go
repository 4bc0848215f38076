package options

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Options{
		"": {Disk: 51712, Timeout: -1, TPM: "auto"},
		"disk=xvdc default=a* timeout=0 tpm=required keys=ab -- console=hvc0  tpm=x": {Disk: 51744, Default: "a*", TPM: "required", Keys: "ab", Append: "console=hvc0 tpm=x", External: true},
		"timeout=forever tpm=optional --":                                            {Disk: 51712, Timeout: -2, TPM: "optional"},
	} {
		if got, err := Parse(line); err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"root=/dev/xvda", "disk=sda", "disk=xvdq", "disk=", "timeout=-1", "timeout=x", "tpm=", "tpm=off", "default=", "keys=", "console=hvc0 --"} {
		if got, err := Parse(line); !errors.Is(err, ErrOption) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("disk=xvdc default=a* timeout=0 tpm=required -- console=hvc0")
	f.Fuzz(func(t *testing.T, line string) {
		if o, err := Parse(line); err == nil && (o.Disk < xvda || o.Timeout < -2 || o.External != (o.Append != "")) {
			t.Errorf("%+v", o)
		}
	})
}
