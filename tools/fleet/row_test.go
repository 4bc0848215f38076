package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
)

// FuzzRow: what is read as a row is written as the same bytes.
func FuzzRow(f *testing.F) {
	f.Add(Row{Owner: Host{1}, Epoch: Epoch{2, 3}, Approver: [32]byte{4}}.encode())
	f.Add([]byte{1})
	f.Add(make([]byte, rowSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRow(b)
		if err != nil {
			if !errors.Is(err, errRow) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(r.encode(), b) {
			t.Errorf("%x becomes %x", b, r.encode())
		}
	})
}

// FuzzEpoch: what is read as an epoch is printed as the same text, and so is a host.
func FuzzEpoch(f *testing.F) {
	f.Add("1.3")
	f.Add("4294967295.0")
	f.Add("0a000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := ParseEpoch(s); err == nil && e.String() != s {
			t.Errorf("%q becomes %v", s, e)
		}
		if h, err := ParseHost(s); err == nil {
			if again, err := ParseHost(h.String()); err != nil || again != h {
				t.Errorf("%q becomes %v, %v", s, again, err)
			}
		}
	})
}

// TestWord: a word is good for what it was signed for, and for nothing that differs in one
// field.
func TestWord(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	approver := [32]byte(key.Public().(ed25519.PublicKey))
	good := Word{From: Host{1}, At: Epoch{1, 2}, To: Host{2}, Restored: 2}
	good.Signature = ed25519.Sign(key, good.Message(UUID{3}))
	if n := len(good.Message(UUID{3})); n != 80 {
		t.Errorf("%d bytes are signed", n)
	}
	if err := good.check(UUID{3}, approver); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Word){
		"owner":     func(w *Word) { w.From = Host{9} },
		"epoch":     func(w *Word) { w.At.Restored = 0 },
		"moves":     func(w *Word) { w.At.Moves = 3 },
		"successor": func(w *Word) { w.To = Host{9} },
		"restored":  func(w *Word) { w.Restored = 3 },
		"signature": func(w *Word) { w.Signature = w.Signature[:63] },
	} {
		w := good
		if change(&w); w.check(UUID{3}, approver) != ErrWord {
			t.Errorf("another %s is accepted", name)
		}
	}
	if good.check(UUID{4}, approver) != ErrWord || good.check(UUID{3}, [32]byte{1}) != ErrWord {
		t.Error("another vTPM's, or another approver's, is accepted")
	}
}

// TestNone: two hosts' calls are accepted, a third host's are not, and Fence needs a word.
func TestNone(t *testing.T) {
	ctx, key := context.Background(), ed25519.NewKeyFromSeed(make([]byte, 32))
	pub := key.Public().(ed25519.PublicKey)
	var s Store = &None{Hosts: [2]Host{{1}, {2}}, Approver: pub}
	if r, err := s.Claim(ctx, UUID{1}, Host{1}, pub); err != nil || r.Owner != (Host{1}) {
		t.Errorf("claim: %v, %v", r, err)
	}
	if r, err := s.HandOver(ctx, UUID{1}, Host{1}, Epoch{1, 2}, Host{2}); err != nil || r.Owner != (Host{2}) || r.Epoch != (Epoch{1, 3}) {
		t.Errorf("hand-over: %v, %v", r, err)
	}
	if _, err := s.Look(ctx, UUID{1}); err != ErrNotKept {
		t.Error(err)
	}
	w := Word{From: Host{1}, To: Host{2}, Restored: 1}
	if _, err := s.Fence(ctx, UUID{1}, w); err != ErrWord {
		t.Errorf("fence without a signature: %v", err)
	}
	w.Signature = ed25519.Sign(key, w.Message(UUID{1}))
	if r, err := s.Fence(ctx, UUID{1}, w); err != nil || r.Owner != (Host{2}) || r.Epoch != (Epoch{1, 0}) {
		t.Errorf("fence: %v, %v", r, err)
	}
	_, err := s.Claim(ctx, UUID{1}, Host{3}, pub)
	_, err2 := s.HandOver(ctx, UUID{1}, Host{1}, Epoch{}, Host{3})
	if !errors.Is(err, ErrArgument) || !errors.Is(err2, ErrArgument) {
		t.Errorf("a third host: %v, %v", err, err2)
	}
}
