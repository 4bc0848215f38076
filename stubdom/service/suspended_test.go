package service

import (
	"bytes"
	"testing"
)

// FuzzSuspended: what is taken for a suspended state is encoded as it was.
func FuzzSuspended(f *testing.F) {
	s := suspended{restores: 3, permanent: []byte("permanent"), volatile: []byte("volatile"), token: token{1}}
	f.Add(s.encode())
	f.Add((&suspended{}).encode())
	f.Add([]byte("sTPU and so on"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSuspended(b)
		if (s != nil) && err != nil {
			t.Fatal("both a state and an error")
		}
		if s != nil && !bytes.Equal(s.encode(), b) {
			t.Fatal("it does not come back")
		}
	})
}
