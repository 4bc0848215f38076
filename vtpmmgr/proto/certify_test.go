package proto

import (
	"bytes"
	"errors"
	"testing"
)

// TestCertify: what a client asks is what a manager reads, and back; a response
// with more or fewer certificates than keys is refused.
func TestCertify(t *testing.T) {
	eks := [][]byte{{1, 2}, bytes.Repeat([]byte{3}, 300)}
	for _, c := range []struct {
		name   string
		answer [][]byte
		ok     bool
	}{{"each", [][]byte{{7}, {8, 9}}, true}, {"one missing", [][]byte{{7}}, false}, {"one more", [][]byte{{7}, {8}, {9}}, false}} {
		client := &Client{Transact: func(m []byte) ([]byte, error) {
			tag, code, body, err := Parse(m)
			if err != nil || tag != TagRequest || Ordinal(code) != Certify {
				t.Fatalf("%s: request %x", c.name, m)
			}
			if got, err := ParseEKs(body); err != nil || len(got) != 2 || !bytes.Equal(got[1], eks[1]) {
				t.Errorf("%s: keys %x, %v", c.name, got, err)
			}
			b, err := AppendCertified(nil, c.answer, [][]byte{{5}})
			return Message(TagResponse, 0, b), err
		}}
		got, chain, err := client.Certify(eks)
		if (err == nil) != c.ok || c.ok && (len(got) != 2 || !bytes.Equal(got[1], []byte{8, 9}) || len(chain) != 1) {
			t.Errorf("%s: %x, %x, %v", c.name, got, chain, err)
		}
	}
}

// TestCertifyRefuses: what does not fit is an error before it is sent.
func TestCertifyRefuses(t *testing.T) {
	client := &Client{Transact: func([]byte) ([]byte, error) { t.Error("sent"); return nil, errors.New("sent") }}
	for name, eks := range map[string][][]byte{"none": nil, "an empty one": {{}}, "too many": make([][]byte, MaxEKs+1), "too large": {make([]byte, MaxSize)}} {
		if _, _, err := client.Certify(eks); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCertify(f *testing.F) {
	f.Add([]byte{1, 0, 1, 5})
	f.Add([]byte{1, 0, 1, 5, 1, 0, 2, 6, 7})
	f.Add([]byte{2, 0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxSize-HeaderSize {
			return
		}
		if eks, err := ParseEKs(b); err == nil {
			if again, err := AppendEKs(nil, eks); err != nil || !bytes.Equal(again, b) {
				t.Errorf("keys %x became %x, %v", b, again, err)
			}
		}
		if certificates, chain, err := ParseCertified(b); err == nil {
			if again, err := AppendCertified(nil, certificates, chain); err != nil || !bytes.Equal(again, b) {
				t.Errorf("certificates %x became %x, %v", b, again, err)
			}
		}
	})
}
