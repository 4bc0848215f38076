package movehost

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"stubtpm/tools/xenmove"
)

// TestManagerFails has the hardware TPM of a manager fail at a step, and when it is asked what it
// has sent: that does not say that the vTPM is here, nor that there is a receipt.
func TestManagerFails(t *testing.T) {
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
	h.on("again", exitUndone, "")
	for _, code := range []int{exitRefused, exitUndone} {
		h.on("handover", code, "")
		if _, err := l.Transfer(ctx); err == nil || errors.Is(err, xenmove.ErrNotSent) {
			t.Errorf("handover %d: %v", code, err)
		}
		h.on("release", code, "")
		if _, moved, err := l.Answer(ctx, []byte(refusal)); err == nil {
			t.Errorf("release %d: moved %v, and no error", code, moved)
		}
	}
	// A step that was not done, as the manager says then.
	h.on("handover", exitUndone, "")
	h.on("again", exitRefused, "")
	if _, err := l.Transfer(ctx); !errors.Is(err, xenmove.ErrNotSent) {
		t.Errorf("not sent: %v", err)
	}

	h.remove("/libxl/2")
	packed, err := packDisk(disk(t, 1<<20, []byte("moved")))
	if err != nil {
		t.Fatal(err)
	}
	a := h.arriving("false")
	h.on("offer", 0, terms)
	if _, err := a.Offer(ctx, []byte(request)); err != nil {
		t.Fatal(err)
	}
	h.on("refuse", exitUndone, "")
	if err := a.Refuse(ctx); err == nil {
		t.Error("refused, or received, by a manager that has failed")
	}
	// Without its disk the vTPM is not taken.
	h.on("offer", exitUndone, "")
	h.on("receipt", 0, receipt)
	if _, taken, err := a.Receive(ctx, xenmove.Transfer{State: packed, Message: []byte(handover)}); taken || err == nil {
		b, _ := os.ReadFile(h.disk)
		t.Errorf("taken %v with the disk moved %v: %v", taken, bytes.HasPrefix(b, []byte("moved")), err)
	}
}
