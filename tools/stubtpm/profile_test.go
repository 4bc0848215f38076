package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
)

type lastState struct{ state []byte }

func (s *lastState) Save(state []byte) error {
	s.state = append([]byte(nil), state...)
	return nil
}

// curves sends TPM2_GetCapability and returns how many curves the TPM has.
func curves(t *testing.T, tpm interface{ Execute(uint8, []byte) []byte }) byte {
	t.Helper()
	tpm.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0})
	r := tpm.Execute(0, []byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 99})
	if len(r) < 19 || r[9] != 0 {
		t.Fatalf("TPM2_GetCapability: %x", r)
	}
	return r[18]
}

// A new TPM has the profile that was asked for; one that exists keeps its own,
// and a request for another is logged.
func TestProfile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "profile")
	if err := os.WriteFile(file, []byte("base = pc-client\ncurves = -p224, -p521, -bn256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	log := func(format string, args ...any) { fmt.Fprintf(&lines, format+"\n", args...) }
	s := new(lastState)
	for _, c := range []struct {
		profile string
		curves  byte
		told    bool
	}{{file, 2, false}, {file, 2, false}, {"full", 2, true}, {"", 2, false}} {
		lines.Reset()
		open, err := openDevice(log, c.profile)
		if err != nil {
			t.Fatal(err)
		}
		tpm, err := open(s, s.state, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := curves(t, tpm); n != c.curves {
			t.Errorf("profile %q: %d curves", c.profile, n)
		}
		if told := strings.Contains(lines.String(), "keeps the profile"); told != c.told {
			t.Errorf("profile %q: said %q", c.profile, lines.String())
		}
	}
}

func TestReadProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "missing"): "nor one of the profiles pc-client, full, sm",
		dir:                           "directory",
		file("bad", "base = pc-client\nrsa = 99\n"):                      "bad: tcg: profile: line 2",
		file("long", strings.Repeat("# long\n", tcg.MaxProfileText/7+1)): "longer",
	} {
		if _, err := readProfile(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	for _, name := range tcg.ProfileNames() {
		if p, err := readProfile(name); err != nil || *p != *tcg.NamedProfile(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// swtpm's names and JSON give the profile of no --profile; lists that cannot be
// honoured are refused.
func TestSwtpmProfiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(file, []byte(" {\"Name\": \"null\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{"default-v1", "null", "custom", `{"Name":"default-v1"}`, `{"Name":"custom:mine","Description":"x"}`, file} {
		p, err := readProfile(good)
		if err != nil || *p != *tcg.DefaultProfile() {
			t.Errorf("%s: %v, %v", good, p, err)
		}
	}
	if p, err := readProfile(`{"Name":"full"}`); err != nil || *p != *tcg.NamedProfile("full") {
		t.Errorf("full: %v, %v", p, err)
	}
	for _, bad := range []string{"{", "{}", `{"Name":"custom","Algorithms":"rsa"}`, `{"Name":"custom","Attributes":"fips-host"}`, `{"Name":"x"}`, `{"Name":"null","Colour":1}`} {
		if p, err := readProfile(bad); err == nil {
			t.Errorf("%s: %v", bad, p)
		}
	}
}

func FuzzProfileJSON(f *testing.F) {
	f.Add(`{"Name":"null"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parseJSON([]byte(text)); (p == nil) == (err == nil) {
			t.Error("neither a profile nor an error, or both")
		}
	})
}
