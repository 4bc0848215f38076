package movehost

import (
	"os"
	"testing"
)

// TestLeavingEnded: a vTPM that the manager may have sent away is sent to the other host although
// its domain, which has no more to do here, has ended since: the guest would wait forever.
func TestLeavingEnded(t *testing.T) {
	t.Parallel()
	h := newHand(t, true)
	l, ctx := h.leaving(), t.Context()
	h.on("request", 0, request)
	h.on("order", 0, "order")
	if _, err := l.Request(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Approve(ctx, []byte(terms)); err != nil {
		t.Fatal(err)
	}
	h.on("handover", 4, "")
	if _, err := l.Transfer(ctx); err == nil {
		t.Fatal("no manager")
	}
	for _, dir := range []string{"/libxl/2", "/local/domain/2", "/local/domain/0/backend/vbd/2"} {
		h.remove(dir)
	}
	h.on("handover", 0, handover)
	sent, err := h.leaving().Transfer(ctx) // by the program that ends the move
	if err != nil || string(sent.Message) != handover {
		t.Fatalf("%q, %v", sent.Message, err)
	}
	to := disk(t, 1<<20, nil)
	if err := unpackDisk(to, sent.State); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(to); string(b[:6]) != "state\x00" {
		t.Errorf("the state is %.10q", b)
	}
	// Another move does not begin like that.
	if _, err := l.Request(ctx); err == nil {
		t.Error("a vTPM without a domain is asked for")
	}
	if err := l.Freeze(ctx); err == nil {
		t.Error("a vTPM without a domain is frozen")
	}
}
