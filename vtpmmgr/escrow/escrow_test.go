package escrow

import (
	"bytes"
	"errors"
	"testing"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	p, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Parse(b); err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{7}, KeySize)
	sealed, err := Seal(p.Public(), 3, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Open(3, sealed); err != nil || !bytes.Equal(got, key) {
		t.Fatalf("%x, %v", got, err)
	}
	if _, err := p.Open(4, sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("another group's: %v", err)
	}
	other, err := Derive(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(3, sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("another's: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := p.Open(3, bad); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d turned: %v", i, err)
		}
	}
	if _, err := Seal(p.Public()[1:], 3, key); err == nil {
		t.Error("short public key was taken")
	}
}
