package xenlife

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVTPMConfig reads configurations of vTPMs' domains.
func TestVTPMConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]VTPMConfig{
		"name = \"v\"\ndisk = [\"/dev/vg/v,raw,xvda,rw\"]\nvtpm = [\"backend=vtpmmgr,uuid=U\"]\n": {"v", "U", "/dev/vg/v"},
		"name = \"v\"\nvtpm = [\"backend=vtpmmgr,uuid=U\"]\n":                                     {},
		"name = \"v\"\ndisk = [\"/a,raw,xvda,rw\", \"/b,raw,xvdb,rw\"]\nvtpm = [\"uuid=U\"]\n":    {},
		"name = \"v\"\ndisk = [\"format=raw, target=/a\"]\nvtpm = [\"uuid=U\"]\n":                 {},
		"name = \"v\"\ndisk = [\"/a,raw,xvda,rw\"]\nvtpm = [\"backend=vtpmmgr\"]\n":               {},
	} {
		file := filepath.Join(t.TempDir(), "cfg")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadVTPMConfig(file)
		if (err == nil) != (want != VTPMConfig{}) || err == nil && got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
