package xenlife

import (
	"errors"
	"testing"
)

func TestLaunch(t *testing.T) {
	t.Parallel()
	const start = "type='pvh'\nkernel='/k'\n"
	for text, want := range map[string]Launch{
		start + "memory=512\nroot='/dev/xvda1'\nextra='quiet'\nramdisk='/r'\nvcpus=2\nuuid='u'": {"/k", "/r", "root=/dev/xvda1 quiet", 512, 2, "u"},
		start + "memory='256'\nroot='/dev/xvda1'":                                               {"/k", "", "root=/dev/xvda1", 256, 1, ""},
		start + "memory=0x100\nextra='quiet'":                                                   {"/k", "", "quiet", 256, 1, ""},
		start + "memory=1\nroot='/dev/xvda1'\nextra='quiet'\ncmdline='other'":                   {"/k", "", "other", 1, 1, ""},
		start + "memory=1":                  {"/k", "", "", 1, 1, ""},
		start:                               {},
		"kernel='/k'\nmemory=1\ntype='hvm'": {}, "type='pvh'\nmemory=1": {}, start + "memory='much'": {}, start + "memory=1\nvcpus=x": {}, start + "memory=1\nextra='a\\x41'": {},
	} {
		c, err := parseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.launch()
		if got != want || (err == nil) != (want != Launch{}) || err != nil && !errors.Is(err, errConfig) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}
