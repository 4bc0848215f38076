package identity

import (
	"bytes"
	"errors"
	"testing"
)

func testRequest() *Request {
	return &Request{Manager: [16]byte{1}, Image: [32]byte{2}, SecurityVersion: 3, EK: []byte{4}, Certificate: []byte{5}, AK: []byte{6}, Certifier: []byte{7},
		Policy: Policy{PCRs: []uint{0, 23}, Values: make([]byte, 64)}}
}

// roundTrip: what a parser accepts, Marshal writes back identically; what it
// refuses is ErrFormat.
func roundTrip[T interface{ Marshal() ([]byte, error) }](t *testing.T, b []byte, parse func([]byte) (T, error)) {
	v, err := parse(b)
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%v is not ErrFormat", err)
		}
		return
	}
	if got, err := v.Marshal(); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%x is written back as %x, %v", b, got, err)
	}
}

func seed(f *testing.F, v interface{ Marshal() ([]byte, error) }) {
	f.Helper()
	b, err := v.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

func FuzzRequest(f *testing.F) {
	seed(f, testRequest())
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseRequest) })
}

func FuzzChallenge(f *testing.F) {
	seed(f, &Challenge{Credential: []byte{1}, Secret: []byte{2}})
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseChallenge) })
}

func FuzzAnswer(f *testing.F) {
	seed(f, &Answer{Attest: []byte{1}, Signature: []byte{2}, Quote: []byte{3}})
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseAnswer) })
}

// TestMarshalRefuses: what a parser refuses is not written either.
func TestMarshalRefuses(t *testing.T) {
	t.Parallel()
	for i, change := range []func(*Request){
		func(r *Request) { r.Policy.PCRs = nil }, func(r *Request) { r.Policy.PCRs = []uint{23, 0} }, func(r *Request) { r.Policy.PCRs[1] = 24 },
		func(r *Request) { r.Policy.Values = nil }, func(r *Request) { r.Chain = make([]byte, 1<<16) },
	} {
		r := testRequest()
		change(r)
		if _, err := r.Marshal(); !errors.Is(err, ErrFormat) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := (&Challenge{}).Marshal(); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := (&Answer{}).Marshal(); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}
