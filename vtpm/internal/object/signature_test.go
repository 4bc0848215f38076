package object

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// forSignature is a sequence that signs with HMAC, or verifies and makes a ticket.
func forSignature(t *testing.T) *Sequence {
	t.Helper()
	s := &Sequence{Auth: []byte("auth"), Alg: tcg.TPMAlgSHA256, MAC: true,
		Signature: &Signature{Verify: true, Scheme: tcg.TPMAlgHMAC, Key: make([]byte, 32), Context: []byte("context")}}
	var err error
	if s.Hash, err = tpmcrypto.NewHMAC(s.Alg, []byte("a secret that is to be gone")); err != nil {
		t.Fatal(err)
	}
	if s.Signature.Ticket, err = tpmcrypto.NewHMAC(s.Alg, []byte("a proof that is to be gone")); err != nil {
		t.Fatal(err)
	}
	return s
}

func encoded(s *Sequence) []byte {
	var w tcg.Writer
	s.Encode(&w)
	return w.B
}

// TestWipeSequence: nothing of a sequence's secrets is in it after Wipe, and a fork of
// it is another.
func TestWipeSequence(t *testing.T) {
	t.Parallel()
	s := forSignature(t)
	s.Write([]byte("message"))
	before := encoded(s)
	fork := s.Fork()
	fork.Write([]byte("more"))
	if !bytes.Equal(encoded(s), before) {
		t.Error("a fork's message is in the sequence")
	}
	secrets := []string{"auth", "a secret", "a proof"}
	for _, x := range secrets {
		if !bytes.Contains(before, []byte(x)) {
			t.Errorf("the test looks for %q in the wrong place", x)
		}
	}
	(&Object{Seq: s}).Wipe()
	after := encoded(s)
	for _, x := range secrets {
		if bytes.Contains(after, []byte(x)) {
			t.Errorf("%q is there after Wipe", x)
		}
	}
	if !bytes.Contains(encoded(fork), []byte("a secret")) {
		t.Error("the fork was wiped, too")
	}
}

// TestFirstBytes: what a message of a signature begins with is known in whatever pieces
// it comes; and what is hashed before it counts, too.
func TestFirstBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix string
		pieces []string
		safe   bool
	}{
		{"", nil, true},
		{"", []string{"\xFFTCG"}, false},
		{"", []string{"\xFF", "", "TC", "G"}, false},
		{"", []string{"\xFFTC", "X"}, true},
		{"", []string{"X", "\xFFTCG"}, true},
		{"\xFFTCGand a digest", []string{"X"}, false},
		{"a digest", []string{"X"}, true},
		{"a digest", []string{"\xFFTCG"}, false},
	} {
		s := &Sequence{Alg: tcg.TPMAlgSHA256, Hash: tpmcrypto.MustHash(tcg.TPMAlgSHA256), Signature: new(Signature)}
		s.Prefix([]byte(c.prefix))
		for _, p := range c.pieces {
			s.Write([]byte(p))
		}
		if got := s.Fork().Safe(); got != c.safe || s.Safe() != c.safe {
			t.Errorf("%q before %q: safe: %v", c.prefix, c.pieces, got)
		}
	}
}

// FuzzDecodeSequence: whatever is decoded is encoded again as it was, and takes more.
func FuzzDecodeSequence(f *testing.F) {
	s := &Sequence{Signature: &Signature{Scheme: tcg.TPMAlgHMAC}}
	s.Alg, s.MAC = tcg.TPMAlgSHA256, true
	s.Hash, _ = tpmcrypto.NewHMAC(s.Alg, []byte("key"))
	f.Add(encoded(s))
	s.Signature.Ticket, _ = tpmcrypto.NewHMAC(s.Alg, []byte("proof"))
	f.Add(encoded(s))
	f.Add(encoded(&Sequence{Alg: tcg.TPMAlgSHA3256, Hash: tpmcrypto.MustHash(tcg.TPMAlgSHA3256)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := tcg.NewReader(b, nil)
		s := DecodeSequence(&r)
		if r.Err() != tcg.TPMRCSuccess {
			return
		}
		n := len(b) - r.Len()
		once := encoded(s)
		r = tcg.NewReader(once, nil)
		if again := encoded(DecodeSequence(&r)); r.Err() != tcg.TPMRCSuccess || !bytes.Equal(again, once) {
			t.Fatalf("%x was read of %x, and is written as %x", once, b[:n], again)
		}
		s.Write([]byte("more"))
		if s.Hash != nil {
			s.Hash.Sum(nil)
		}
	})
}
