package proto

import (
	"bytes"
	"errors"
	"testing"
)

func TestGrant(t *testing.T) {
	t.Parallel()
	g := Grant{Manufacture: true, UUID: [16]byte{1}, Sequence: 1 << 63, Hash: [32]byte{2}, Key: [32]byte{3}, Entropy: [32]byte{4}}
	b := g.Append(nil)
	if again, err := parseGrant(b); err != nil || again != g {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, bad := range [][]byte{nil, b[1:], append(bytes.Clone(b), 0), append([]byte{2}, b[1:]...)} {
		if _, err := parseGrant(bad); err == nil {
			t.Errorf("%d bytes were taken", len(bad))
		}
	}
}

// TestClientRefuses gives a client answers that no manager sends.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	list := func(count uint32, body ...byte) []byte {
		return Message(TagResponse, 0, append([]byte{byte(count >> 24), byte(count >> 16), byte(count >> 8), byte(count)}, body...))
	}
	for name, answer := range map[string][]byte{
		"empty": nil, "short": {0x01, 0xC4, 0, 0, 0, 9, 0, 0, 0},
		"request": Message(TagRequest, 0, nil), "size": append(Message(TagResponse, 0, nil), 0),
		"endless list": list(5), "part of an entry": list(1, make([]byte, EntrySize-1)...),
	} {
		c := Client{Transact: func([]byte) ([]byte, error) { return answer, nil }}
		if _, err := c.List(); err == nil {
			t.Errorf("%s: List took it", name)
		}
		if _, err := c.Load(); err == nil {
			t.Errorf("%s: Load took it", name)
		}
		if _, err := c.Random(3); err == nil {
			t.Errorf("%s: Random took it", name)
		}
		if _, err := c.PCRRead(3); err == nil {
			t.Errorf("%s: PCRRead took it", name)
		}
	}
	c := Client{Transact: func([]byte) ([]byte, error) { return Message(TagResponse, uint32(Busy), nil), nil }}
	if _, err := c.Load(); !errors.Is(err, Busy) {
		t.Errorf("status busy: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Message(TagRequest, uint32(Load), nil))
	f.Add(Message(TagResponse, 0, make([]byte, 121)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if tag, code, body, err := Parse(b); err == nil && !bytes.Equal(Message(tag, code, body), b) {
			t.Fatal("does not come back")
		}
		n := 0
		c := Client{Transact: func([]byte) ([]byte, error) {
			if n++; n > 10000 {
				t.Fatal("does not end")
			}
			return b, nil
		}}
		c.Load()
		if len(b) < 4096 {
			n = 0
			c.Status()
		}
	})
}
