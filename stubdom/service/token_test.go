package service

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
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

// TestRingToken: a guest with a ring finds its TPM again if the host gave the vTPM the token
// of its image once the guest was gone, also by another domain of the vTPM; and once.
func TestRingToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	disk := blocktest.NewMem(statedisk.MinDisk * 4)
	defer l.manager(initWords + fmt.Sprintf(" host=%x", testHostKey.Public().(ed25519.PublicKey)))()
	l.enroll(testUUID)
	stop := l.vtpm(2, disk)
	image := [32]byte{1, 2, 3}
	word := hex.EncodeToString(image[:])
	for _, w := range []string{word, "", "nonsense", strings.Repeat("0", 64), word + "00"} {
		if v := l.giveToken(2, w); !strings.HasPrefix(v, "error: ") {
			t.Errorf("before there was a guest, token %q: %q", w, v)
		}
	}
	f := l.attach(3, 2, testUUID)
	g := guest{l.ctx, f}
	if err := g.extend(); err != nil {
		t.Fatal(err)
	}
	pcr := g.pcr8(t)
	image[0]++
	word = hex.EncodeToString(image[:])
	// The guest goes while the vTPM is told.
	gone := time.AfterFunc(300*time.Millisecond, func() {
		f.Close(context.WithoutCancel(l.ctx))
		l.host.Domain(0).Store.Remove(context.WithoutCancel(l.ctx), "/local/domain/3/device/vtpm")
	})
	defer gone.Stop()
	if v := l.giveToken(2, word); v != word {
		t.Fatalf("the answer is %q", v)
	}
	for n := range xen.DomID(2) {
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		stop = l.vtpm(4+2*n, disk)
		l.order(func(c *proto.Client) error { return c.Restored(uint16(5+2*n), campaignUUID, image) })
		f := l.attach(5+2*n, 4+2*n, testUUID)
		if kept := (guest{l.ctx, f}).pcr8(t) == pcr; kept != (n == 0) {
			t.Errorf("restored %d times: its TPM goes on: %v", n+1, kept)
		}
	}
	if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
