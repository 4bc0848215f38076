package xenlife

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	const uuid = "6f3b2a10-0000-4000-8000-000000000001"
	for name, c := range map[string]struct {
		text               string
		name, uuid, kernel string
	}{
		"plain":           {"name = \"mail\"\nkernel = \"/k\"\nvtpm = [\"backend=b,uuid=" + uuid + "\"]\n", "mail", uuid, "/k"},
		"several lines":   {"name='mail'\nvtpm = [\n  # the first\n  'backend=b, uuid=" + uuid + "',\n]", "mail", uuid, ""},
		"one line":        {"name='mail';vtpm=['uuid=" + uuid + "'] ; memory = 512 # MiB", "mail", uuid, ""},
		"comments":        {"#name='a'\n# vtpm = ['uuid=0']\nname='mail' # 'b'\nvtpm=['backend=b'] # uuid=" + uuid + "\n", "mail", "", ""},
		"the last counts": {"name='a'\nvtpm=['uuid=0']\nname='mail'\nvtpm=['uuid=" + uuid + "']\n", "mail", uuid, ""},
		"in a string":     {"name='mail'\nextra='x name=\"web\" # vtpm=[]'\n", "mail", "", ""},
		"added":           {"vtpm=['uuid=" + uuid + "']\nvtpm += ['uuid=0']\nname = 'ma'\nname += 'il'", "mail", uuid, ""},
		"two options":     {"name='mail'\nvtpm=['uuid=0,uuid=" + uuid + "']", "mail", uuid, ""},
		"lists in lists":  {"vif = [ [ 'a', 1 ], [] ]\r\nname='mail'\r\n", "mail", "", ""},
		"an empty list":   {"name='mail'\nvtpm=[]\n", "mail", "", ""},
	} {
		got, err := parseConfig(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n, err := got.name()
		if kernel, _ := got.text("kernel"); err != nil || n != c.name || kernel != c.kernel || got.vtpm("uuid") != c.uuid {
			t.Errorf("%s: name %q, kernel %q, uuid %q, %v", name, n, kernel, got.vtpm("uuid"), err)
		}
	}
	for _, bad := range []string{"name", "name =", "name = mail mail", "= 'x'", "name = 'x", "name = 'x\n'", "vtpm = [", "vtpm = ['a' 'b']", "extra = '''\nname = \"a\"'''", "a = 'b' c = 'd'", "a ! 'b'", "a = \"b\\"} {
		if c, err := parseConfig(bad); !errors.Is(err, errConfig) {
			t.Errorf("%q was read as %q, %v", bad, c, err)
		}
	}
	for _, bad := range []string{"", "name = ''", "name = '../a'", "name = ['a', 'b']", `name = "a\x62"`} {
		if c, err := parseConfig(bad); err != nil {
			t.Errorf("%q: %v", bad, err)
		} else if n, err := c.name(); err == nil {
			t.Errorf("%q has the name %q", bad, n)
		}
	}
}

// FuzzConfig: whatever was read, settings after it are read, and count.
func FuzzConfig(f *testing.F) {
	f.Add("name = 'a'\nvtpm = [ 'b', # c\n]")
	f.Add("extra = \"a\\\"b\"; memory = 5\n# x")
	f.Add("a += [[1],'']\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		again, err := parseConfig("# " + strings.ReplaceAll(text, "\n", "\n# ") + "\n" + text + "\nname = 'x'\n")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := again.name(); n != "x" || err != nil {
			t.Fatalf("name %q, %v", n, err)
		}
		for name, v := range c {
			if name != "name" && !slices.Equal(again[name], v) {
				t.Fatalf("%s is %q, was %q", name, again[name], v)
			}
		}
	})
}
