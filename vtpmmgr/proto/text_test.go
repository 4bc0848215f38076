package proto

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// unprintable has names that could forge a line of a log, or command a terminal.
var unprintable = []string{"a\nb", "a\rb", "\x1b[2J", "a\x00", "\x7f", "\x80", "a\xffb", "\u009b2J", "\u202eabc", "\u200b", "\ufeff", "\u2028", "\u00a0", "\U000e0041", "\t"}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "mail", "Büro 7", "日本語", "a/b,c;d#e'f\"g\\", "e\u0301"} {
		if !Printable(s) || Visible(s) != s {
			t.Errorf("%q is printable; Visible returns %q", s, Visible(s))
		}
	}
	for _, s := range unprintable {
		if Printable(s) || !Printable(Visible(s)) {
			t.Errorf("%q is not printable; Visible returns %q", s, Visible(s))
		}
		e := Enrollment{Name: s}
		if _, err := ParseEnrollment(e.Append(nil)); err == nil {
			t.Errorf("an enrollment of the name %q was taken", s)
		}
		for _, g := range []Group{{Name: s}, {Name: "a", Labels: s}} {
			if g.Valid() {
				t.Errorf("group %+v is valid", g)
			}
		}
	}
}

// TestGroupNames: a group's name is not mistaken for the ID of another one.
func TestGroupNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"default": true, "acme": true, "8c873ab": true, "8c873abb1": true, "8c873abg": true, "": false,
		"8c873abb": false, "8C873ABB": false, "00000000": false, strings.Repeat("a", MaxName): true, strings.Repeat("a", MaxName+1): false,
	} {
		if g := (Group{Name: name}); g.Valid() != want {
			t.Errorf("name %q: valid %v", name, g.Valid())
		}
		if _, isID := ParseGroupID(name); isID && want {
			t.Errorf("%q is an ID", name)
		}
	}
}

func FuzzVisible(f *testing.F) {
	for _, s := range unprintable {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := Visible(s)
		if !Printable(v) || Printable(s) && v != s {
			t.Fatalf("%q: %q", s, v)
		}
		for _, r := range v {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %U", v, r)
			}
		}
		// What json.Marshal leaves stays the same text.
		b, _ := json.Marshal(s)
		var again string
		if err := json.Unmarshal([]byte(Visible(string(b))), &again); err != nil || utf8.ValidString(s) && again != s {
			t.Fatalf("%q: %v, %q", s, err, again)
		}
	})
}
