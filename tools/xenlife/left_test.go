package xenlife

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestLeft: a guest that has moved to another host is not created here, by hand or in the place
// of its domain; one that has come back is, once it has ended.
func TestLeft(t *testing.T) {
	t.Parallel()
	g := newGuestHost(t, guestConfig+"on_reboot = \"destroy\"\n")
	if err := g.Leave("mail", 7); err != nil {
		t.Fatal(err)
	}
	if err := g.CreateGuest(t.Context(), g.file); !errors.Is(err, ErrLeft) {
		t.Errorf("by hand: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := g.RunGuest(short, g.file, func() { t.Error("it is up") }); err != nil {
		t.Error(err)
	}
	g.check(t)
	if left, err := g.left("mail", 7); !left || err != nil {
		t.Errorf("while it moves: %v, %v", left, err)
	}
	if left, err := g.left("mail", 9); left || err != nil {
		t.Errorf("when it is back: %v, %v", left, err)
	}
	if err := g.CreateGuest(t.Context(), g.file); err != nil {
		t.Errorf("after it was back: %v", err)
	}
	g.check(t, "create -q -p", "unpause 8")
	for range 2 {
		if err := g.Stay("mail"); err != nil {
			t.Error(err)
		}
	}
}
