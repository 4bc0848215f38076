package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

func sameLists(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// TestCertify: the client sends all keys, and returns as many certificates.
func TestCertify(t *testing.T) {
	t.Parallel()
	eks := [][]byte{{1}, bytes.Repeat([]byte{2}, 300)}
	certificates := [][]byte{bytes.Repeat([]byte{4}, 1000), {5}}
	client := &Client{Transact: func(b []byte) ([]byte, error) {
		tag, ordinal, body, err := Parse(b)
		if err != nil || tag != TagRequest || Ordinal(ordinal) != Certify {
			t.Fatalf("%#x %#x, %v", tag, ordinal, err)
		}
		if got, err := ParseEKs(body); err != nil || !sameLists(got, eks) {
			t.Errorf("sent %x, %v", got, err)
		}
		answer, err := AppendCertificates(nil, certificates)
		return Message(TagResponse, uint32(OK), answer), err
	}}
	if got, err := client.Certify(eks); err != nil || !sameLists(got, certificates) {
		t.Errorf("%x, %v", got, err)
	}
	certificates = certificates[:1]
	if _, err := client.Certify(eks); err == nil {
		t.Error("fewer certificates than keys")
	}
	for _, bad := range [][][]byte{nil, {nil}, {{1}, {}}, make([][]byte, MaxEKs+1), {make([]byte, MaxSize)}} {
		if _, err := client.Certify(bad); err == nil {
			t.Errorf("%d keys are sent", len(bad))
		}
	}
}

// TestPieces: what is larger than a message comes in pieces, and pieces that do not fit
// together are an error.
func TestPieces(t *testing.T) {
	t.Parallel()
	chain := [][]byte{bytes.Repeat([]byte{1}, 3000), bytes.Repeat([]byte{2}, 3000), {3}}
	all := EncodeList(chain)
	client := &Client{Transact: func(b []byte) ([]byte, error) {
		_, _, body, err := Parse(b)
		if err != nil || len(body) != 4 {
			t.Fatalf("%x, %v", body, err)
		}
		m := Message(TagResponse, uint32(OK), EncodePiece(all, binary.BigEndian.Uint32(body)))
		if len(m) > MaxSize {
			t.Errorf("a message of %d bytes", len(m))
		}
		return m, nil
	}}
	if got, err := client.Chain(); err != nil || !sameLists(got, chain) {
		t.Errorf("%d certificates, %v", len(got), err)
	}
	size := func(n uint32, more ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), more...) }
	for name, answers := range map[string][][]byte{
		"nothing":               {{}},
		"half a size":           {{0, 0}},
		"more than the size":    {size(1, 1, 2)},
		"another size":          {size(10, 1, 2), size(11, 3)},
		"nothing more":          {size(10, 1), size(10)},
		"a size without end":    {size(1<<32-1, 1)},
		"not a list":            {size(2, 1, 0)},
		"an empty list":         {size(1, 0)},
		"larger by what came":   {size(4, 1, 2), size(4, 3, 4, 5)},
		"all of it at once, +1": {size(3, 1, 0, 1, 7)},
	} {
		n := 0
		client.Transact = func([]byte) ([]byte, error) {
			if n == len(answers) {
				return nil, errors.New("asked once more")
			}
			n++
			return Message(TagResponse, uint32(OK), answers[n-1]), nil
		}
		if got, err := client.Chain(); err == nil {
			t.Errorf("%s: %x", name, got)
		}
	}
}

func FuzzCertify(f *testing.F) {
	some, err := AppendEKs(nil, [][]byte{{1, 2}, {3}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(some)
	f.Add(EncodeList([][]byte{{1}, {2}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if eks, err := ParseEKs(b); err == nil {
			if got, err := AppendEKs(nil, eks); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%x is written as %x, %v", b, got, err)
			}
		}
		if list, err := ParseCertificates(b); err == nil && !bytes.Equal(EncodeList(list), b) {
			t.Errorf("%x is written as %x", b, EncodeList(list))
		}
	})
}
