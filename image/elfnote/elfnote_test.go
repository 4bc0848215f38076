package elfnote

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"testing"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	const (
		first = "\x04\x00\x00\x00\x05\x00\x00\x00\x06\x00\x00\x00Xen\x00linux\x00\x00\x00"
		other = "\x04\x00\x00\x00\x01\x00\x00\x00\x06\x00\x00\x00GNU\x00x\x00\x00\x00"
		last  = "\x04\x00\x00\x00\x04\x00\x00\x00\x06\x00\x00\x00Xen\x00last"
		huge  = "\xff\xff\xff\xff\xff\xff\xff\xff\x06\x00\x00\x00Xen\x00"
	)
	for text, want := range map[string]string{first + other: "linux", first + last: "last", first + huge + last: "linux", first + last[:19]: "linux", first[:21]: "linux", huge: "", "": ""} {
		notes := map[uint32][]byte{}
		collect(notes, []byte(text))
		if got := string(notes[GuestOS]); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzXen reads the notes of any ELF file.
func FuzzXen(f *testing.F) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		notes, err := Xen(e, int64(len(b)))
		if err != nil && !errors.Is(err, ErrNotes) {
			t.Fatal(err)
		}
		for typ, n := range notes {
			if !bytes.Contains(b, n) {
				t.Fatalf("note %d is not in the file", typ)
			}
		}
	})
}
