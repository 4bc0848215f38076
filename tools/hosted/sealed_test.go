package hosted

import (
	"bytes"
	"errors"
	"testing"
)

// Each changed bit of a state file is found, with and without a key.
func TestStateFileDamage(t *testing.T) {
	t.Parallel()
	key, err := newKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newKey(bytes.Repeat([]byte{8}, 32))
	pass, _ := newPassphraseKey([]byte("secret"), kdfPBKDF2, 256)
	again, _ := newPassphraseKey([]byte("secret"), kdfPBKDF2, 256)
	state := []byte("permanent state")
	for _, k := range []*stateKey{nil, key} {
		good, err := sealFile(BlobPermanent, 1, state, k)
		if err != nil {
			t.Fatal(err)
		}
		if (k != nil) == bytes.Contains(good, state) {
			t.Error("plain where encrypted is meant, or the other way round")
		}
		if b, err := openFile(BlobPermanent, good, k); err != nil || !bytes.Equal(b, state) {
			t.Fatalf("%q, %v", b, err)
		}
		for i := range len(good) * 8 {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			if b, err := openFile(BlobPermanent, bad, k); err == nil {
				t.Fatalf("bit %d changed: %q", i, b)
			}
		}
		for n := range good {
			if _, err := openFile(BlobPermanent, good[:n], k); err == nil {
				t.Fatalf("cut to %d bytes: no error", n)
			}
		}
		if _, err := openFile(BlobVolatile, good, k); err == nil {
			t.Error("permanent taken for volatile")
		}
	}
	sealed, _ := sealFile(BlobPermanent, 1, state, key)
	plain, _ := sealFile(BlobPermanent, 1, state, nil)
	phrase, _ := sealFile(BlobPermanent, 1, state, pass)
	if b, err := openFile(BlobPermanent, phrase, again); err != nil || !bytes.Equal(b, state) {
		t.Errorf("passphrase: %q, %v", b, err)
	}
	for _, c := range []struct {
		b    []byte
		k    *stateKey
		want error
	}{{sealed, other, errKey}, {sealed, nil, errEncrypted}, {plain, key, errPlain}, {phrase, key, errKey}} {
		if _, err := openFile(BlobPermanent, c.b, c.k); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}

func FuzzStateFile(f *testing.F) {
	b, _ := sealFile(BlobPermanent, 1, []byte("state"), nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		state, err := openFile(BlobPermanent, in, nil)
		if err != nil {
			return
		}
		again, err := sealFile(BlobPermanent, 1, state, nil)
		if err != nil || len(again) > len(in) {
			t.Errorf("%x reads as %x", in, state)
		}
	})
}
