package grubcfg

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestDebian reads the file that Debian 12's grub-mkconfig writes.
func TestDebian(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/debian12.cfg")
	if err != nil {
		t.Fatal(err)
	}
	c := Parse(string(b))
	if c.Timeout != 5 || c.Default != 0 || len(c.Entries) != 5 {
		t.Fatalf("timeout %d, default %d, %d entries", c.Timeout, c.Default, len(c.Entries))
	}
	e := c.Entries[0]
	if e.Title != "Debian GNU/Linux" || e.ID != "gnulinux-simple-1f0c3b52-5a3c-44ea-b3a3-5bd3f60b4c0e" || e.Linux != "boot/vmlinuz-6.1.0-56-amd64" ||
		!reflect.DeepEqual(e.Initrds, []string{"boot/initrd.img-6.1.0-56-amd64"}) || e.Options != "root=UUID=1f0c3b52-5a3c-44ea-b3a3-5bd3f60b4c0e ro console=hvc0 quiet" {
		t.Errorf("%+v", e)
	}
	if e := c.Entries[2]; e.Title != "Debian GNU/Linux, with Linux 6.1.0-56-amd64 (recovery mode)" || !strings.HasSuffix(e.Options, "ro single console=hvc0") {
		t.Errorf("%+v", e)
	}
	if e := c.Entries[3]; e.Linux != "boot/vmlinuz-6.1.0-49-amd64" {
		t.Errorf("%+v", e)
	}
}

func TestDefault(t *testing.T) {
	t.Parallel()
	const menu = `
menuentry "first" --id one { linux /1 }
submenu 'more' $menuentry_id_option 'sub' {
	menuentry 'second' { linux /2 a "b c" $x
	 initrd /i /j }
	menuentry 'third' --id three { linux (hd0,1)/3 ; }
}
menuentry fourth { linux /4 }
`
	for value, want := range map[string]int{"0": 0, "1": 1, "2": 3, "1>1": 2, "more>second": 1, "sub>three": 2, "fourth": 3, "one": 0, "nothing": 0, "1>7": 0, "": 0, ">": 0} {
		c := Parse("set x=y\nset default=\"" + value + "\"\nset timeout=-1" + menu)
		if len(c.Entries) != 4 || c.Default != want || c.Timeout != -2 {
			t.Fatalf("%q: %d of %+v", value, c.Default, c.Entries)
		}
		if e := c.Entries[1]; e.Options != "a b c y" || len(e.Initrds) != 2 || e.ID != "second" {
			t.Errorf("%+v", e)
		}
		if c.Entries[2].Linux != "3" {
			t.Errorf("%+v", c.Entries[2])
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`if [ "${none}" ] ; then set default=a; else set default=b; fi`:                    "b",
		`set a=1; if [ x$a = x1 ]; then set default=a; elif true; then set default=b; fi`:  "a",
		`if [ -f /x ]; then set default=a; elif [ ! "" ]; then set default=b; fi`:          "b",
		`if ! [ a = b ]; then set default=a; fi`:                                           "a",
		`if [ -z "" ]; then if [ a != a ]; then set default=a; else set default=c; fi; fi`: "c",
		`if something; then set default=a; fi`:                                             "",
		`function f { set default=a; }`:                                                    "",
		`if [ a = b ]; then menuentry x { linux /a }; fi`:                                  "",
		`set default='$a'`:    "$a",
		`set default="\$a\""`: `$a"`,
		`set default=a\ b`:    "a b",
		"set default=a\\\nb":  "ab",
		"#set default=a":      "",
	} {
		p := newParser()
		for _, c := range commands(text) {
			p.command(c)
		}
		if got := p.vars["default"]; got != want || len(p.entries) != 0 {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/debian12.cfg")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("menuentry 'a' { if [ a = \"b")
	f.Add("submenu s { menuentry x { } } }")
	f.Fuzz(func(t *testing.T, text string) {
		c := Parse(text)
		if len(c.Entries) > 0 && (c.Default < 0 || c.Default >= len(c.Entries)) {
			t.Errorf("default %d of %d", c.Default, len(c.Entries))
		}
		for _, e := range c.Entries {
			if strings.HasPrefix(e.Linux, "/") {
				t.Errorf("path %q", e.Linux)
			}
		}
	})
}
