package service

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr/proto"
)

// giveToken writes a token for a vTPM's domain and returns the answer.
func (l *lab) giveToken(id xen.DomID, word string) string {
	l.t.Helper()
	store, home := l.host.Domain(0).Store, "/local/domain/"+itoa(id)+"/"
	store.Remove(l.ctx, home+nodeHasToken)
	if err := store.Write(l.ctx, home+nodeToken, word); err != nil {
		l.t.Fatal(err)
	}
	for {
		if v, err := store.Read(l.ctx, home+nodeHasToken); err == nil {
			return v
		}
		select {
		case <-time.After(time.Millisecond):
		case <-l.ctx.Done():
			l.t.Fatalf("token %s: no answer", word)
		}
	}
}

// tokenWord is what the host writes of an image of a domain.
func tokenWord(domain xen.DomID, image [32]byte) string { return fmt.Sprintf("%d %x", domain, image) }

// detach ends a guest's domain.
func (l *lab) detach(g guest, domain xen.DomID) {
	g.f.Close(context.WithoutCancel(l.ctx))
	l.host.Domain(0).Store.Remove(context.WithoutCancel(l.ctx), "/local/domain/"+itoa(domain)+"/device/vtpm")
}

// TestRingToken: a guest with a ring finds its TPM again if the host gave the vTPM the token
// of its image once the guest was gone, also by another domain of the vTPM; and once.
func TestRingToken(t *testing.T) {
	t.Parallel()
	l, disk := newHostLab(t)
	stop := l.vtpm(2, disk)
	image := [32]byte{1, 2, 3}
	word := tokenWord(3, image)
	for _, w := range []string{word, "", "nonsense", "3 " + strings.Repeat("0", 64), word + "00", word[2:], "3  " + word[2:], word + " ",
		"-3" + word[1:], "65539" + word[1:], "\x00" + word, "3 " + strings.Repeat("00", 2000)} {
		if v := l.giveToken(2, w); !strings.HasPrefix(v, "error: ") {
			t.Errorf("before there was a guest, token %q: %q", w, v)
		}
	}
	g := guest{l.ctx, l.attach(3, 2, testUUID)}
	if err := g.extend(); err != nil {
		t.Fatal(err)
	}
	pcr := g.pcr8(t)
	image[0]++
	word = tokenWord(3, image)
	// The guest goes while the vTPM is told.
	gone := time.AfterFunc(300*time.Millisecond, func() { l.detach(g, 3) })
	defer gone.Stop()
	if v := l.giveToken(2, word); v != word {
		t.Fatalf("the answer is %q", v)
	}
	for n := range xen.DomID(2) {
		l.end(stop)
		stop = l.vtpm(4+2*n, disk)
		l.order(func(c *proto.Client) error { return c.Restored(uint16(5+2*n), campaignUUID, image) })
		f := l.attach(5+2*n, 4+2*n, testUUID)
		if kept := (guest{l.ctx, f}).pcr8(t) == pcr; kept != (n == 0) {
			t.Errorf("restored %d times: its TPM goes on: %v", n+1, kept)
		}
	}
	l.end(stop)
}

// TestRingTokenOfAnother: a guest was saved, and another domain had the TPM before the host
// gave the token of the image, as where a guest is started again whenever its domain has
// ended. What that one left does not belong to the image, whether it is still there or gone.
func TestRingTokenOfAnother(t *testing.T) {
	t.Parallel()
	l, disk := newHostLab(t)
	stop := l.vtpm(2, disk)
	l.detach(guest{l.ctx, l.attach(3, 2, testUUID)}, 3)
	g := guest{l.ctx, l.attach(5, 2, testUUID)}
	if err := g.extend(); err != nil {
		t.Fatal(err)
	}
	pcr, image := g.pcr8(t), [32]byte{9}
	if v := l.giveToken(2, tokenWord(3, image)); v != "error: "+errNoImage.Error() {
		t.Errorf("while another guest has the TPM: %q", v)
	}
	l.detach(g, 5)
	image[0]++
	if v := l.giveToken(2, tokenWord(3, image)); v != "error: "+errNoImage.Error() {
		t.Errorf("after another guest had it: %q", v)
	}
	l.order(func(c *proto.Client) error { return c.Restored(7, campaignUUID, image) })
	if (guest{l.ctx, l.attach(7, 2, testUUID)}).pcr8(t) == pcr {
		t.Error("the image finds what another guest left in the TPM")
	}
	l.end(stop)
}
