package evidence

import (
	"bytes"
	"errors"
	"testing"
)

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
	if got := mustMarshal(t, v); !bytes.Equal(got, b) {
		t.Errorf("%x is written back as %x", b, got)
	}
}

func FuzzEvidence(f *testing.F) {
	f.Add(mustMarshal(f, testEvidence(f)))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, Parse) })
}

func FuzzStatement(f *testing.F) {
	f.Add(mustMarshal(f, testStatement()))
	f.Add(mustMarshal(f, startedStatement()))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseStatement) })
}

func FuzzQuote(f *testing.F) {
	f.Add(mustMarshal(f, testQuote()))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseQuote) })
}

func FuzzAsk(f *testing.F) {
	s := testStatement()
	f.Add(mustMarshal(f, &Ask{Nonce: s.Nonce, AK: s.AK}))
	f.Add(mustMarshal(f, &Ask{AK: s.AK}))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, ParseAsk) })
}

// FuzzProof: an accepted proof is written back identically, and a hash that is
// changed gives another root.
func FuzzProof(f *testing.F) {
	f.Add(Prove(make([]Hash, 5), 4).Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is not ErrFormat", err)
			}
			return
		}
		if !bytes.Equal(p.Marshal(), b) {
			t.Errorf("%x is written back as %x", b, p.Marshal())
		}
		root, err := p.Root(Hash{1})
		if err != nil {
			t.Error(err)
		}
		for i := range p.Path {
			p.Path[i][5] ^= 1
			if got, _ := p.Root(Hash{1}); got == root {
				t.Errorf("hash %d does not count", i)
			}
			p.Path[i][5] ^= 1
		}
	})
}
