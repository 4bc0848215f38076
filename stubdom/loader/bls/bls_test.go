package bls

import (
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"stubtpm/stubdom/loader/entry"
)

const debian = `# Boot Loader Specification type#1 entry
title      Debian GNU/Linux 12 (bookworm)
version    6.1.0-56-amd64
machine-id 0123456789abcdef0123456789abcdef
sort-key   debian
options    root=UUID=1 ro
options    quiet
linux      /0123/6.1.0-56-amd64/linux
initrd     /0123/6.1.0-56-amd64/microcode
initrd     /0123/6.1.0-56-amd64/initrd.img-6.1.0-56-amd64
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, ok := Parse(debian)
	want := entry.Entry{Title: "Debian GNU/Linux 12 (bookworm)", Version: "6.1.0-56-amd64", MachineID: "0123456789abcdef0123456789abcdef",
		SortKey: "debian", Options: "root=UUID=1 ro quiet", Linux: "0123/6.1.0-56-amd64/linux",
		Initrds: []string{"0123/6.1.0-56-amd64/microcode", "0123/6.1.0-56-amd64/initrd.img-6.1.0-56-amd64"}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "title x\n", "linux /a\narchitecture aa64\n", "linux /a\nefi /b\n"} {
		if e, ok := Parse(text); ok {
			t.Errorf("%q gives %+v", text, e)
		}
	}
	for name, want := range map[string]string{"/../../x": "x", "\\EFI\\a": "EFI/a", "a//b/./c": "a/b/c"} {
		if e, _ := Parse("linux " + name); e.Linux != want || !fs.ValidPath(e.Linux) {
			t.Errorf("%q gives %q", name, e.Linux)
		}
	}
}

func TestCounter(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		id   string
		left int
	}{
		"a": {"a", -1}, "a+3": {"a", 3}, "a+2-1": {"a", 2}, "a+0-3": {"a", 0}, "a+b": {"a+b", -1}, "a+1-x": {"a+1-x", -1},
		"6.1+deb12+1": {"6.1+deb12", 1}, "+": {"+", -1}, "a+-1": {"a+-1", -1},
	} {
		if id, left := Counter(name); id != want.id || left != want.left {
			t.Errorf("%s: %s, %d", name, id, left)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	f := fstest.MapFS{
		"loader/entries/a-6.1+0-3.conf": {Data: []byte(debian)},
		"loader/entries/b.CONF":         {Data: []byte("linux /k\n")},
		"loader/entries/.c.conf":        {Data: []byte("linux /k\n")},
		"loader/entries/d.conf~":        {Data: []byte("linux /k\n")},
		"EFI/Linux/u+2.efi":             {Data: []byte("MZ")},
		"loader/loader.conf":            {Data: []byte("timeout 7\ndefault u*\n#default x\n")},
	}
	all, c := Read(f, nil)
	entry.Sort(all)
	var ids []string
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"u", "b", "a-6.1"}) || c != (Config{"u*", 7}) {
		t.Errorf("%v, %+v", ids, c)
	}
	if all, c := Read(fstest.MapFS{}, nil); len(all) != 0 || c.Timeout != -1 {
		t.Errorf("%v, %v", all, c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(debian)
	f.Add("timeout menu-force\ndefault a.conf\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, ok := Parse(text)
		ParseConfig(text)
		Counter(text)
		for _, name := range append(slices.Clone(e.Initrds), e.Linux, e.Unified) {
			if ok && name != "" && strings.HasPrefix(name, "/") {
				t.Errorf("path %q", name)
			}
		}
	})
}
