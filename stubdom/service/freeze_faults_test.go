package service

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// frozenWorld is a guest whose image was saved, and whose vTPM obeys the node of freezes.
type frozenWorld struct {
	*savedWorld
	store *xenstore.Client // of dom0
	host  *xentest.Host
	stop  func()
	pcr8  string
}

func newFrozenWorld(t *testing.T) *frozenWorld {
	w := &frozenWorld{savedWorld: newSavedWorld(t, 1)}
	w.must(w.order(testHostKey).Created(uint16(w.domain), campaignUUID))
	w.must(w.connect())
	w.extend()
	w.save()
	w.pcr8 = w.images[0].pcr8
	w.host = xentest.NewHost()
	domain := w.host.Domain(2)
	w.store = w.host.Domain(0).Store
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.h.obeyFreeze(ctx, &Environment{Domain: domain, Log: t.Logf}); !errors.Is(err, context.Canceled) {
			t.Errorf("it obeys no more: %v", err)
		}
	}()
	w.stop = func() { cancel(); <-done }
	t.Cleanup(func() { w.stop(); domain.Store.Close(); w.store.Close() })
	return w
}

// say has the host write a word.
func (w *frozenWorld) say(word string) {
	w.t.Helper()
	w.must(w.store.Write(w.t.Context(), "/local/domain/2/"+nodeFreeze, word))
}

// await waits for an answer that begins with a word.
func (w *frozenWorld) await(word string) string {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		v, err := w.store.Read(w.t.Context(), "/local/domain/2/"+nodeFrozen)
		if err == nil && strings.HasPrefix(v, word) {
			return v
		}
		if time.Now().After(end) {
			w.t.Fatalf("the answer is %q, %v; want %q", v, err, word)
		}
	}
}

// found restores the image after the vTPM's domain has started again, and reports whether it
// finds its TPM.
func (w *frozenWorld) found() bool {
	w.t.Helper()
	w.disconnect()
	w.session.Close()
	w.start()
	w.domain += xen.DomID(1)
	w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, w.images[0].token))
	w.must(w.connect())
	return pcrBy(w.t, w.conn, 8) == w.pcr8
}

// TestFreezeUnread: only a word of the host thaws a TPM, no failure to read it.
func TestFreezeUnread(t *testing.T) {
	t.Parallel()
	w := newFrozenWorld(t)
	w.say("1")
	w.await("")
	for !w.h.isFrozen() {
		time.Sleep(time.Millisecond)
	}
	const node = "/local/domain/2/" + nodeFreeze
	w.host.Store.Unreadable(node, true)
	for range 3 {
		before := w.host.Store.Reads(node)
		for w.say("1"); w.host.Store.Reads(node) == before; time.Sleep(time.Millisecond) {
		}
	}
	time.Sleep(10 * time.Millisecond)
	if !w.h.isFrozen() {
		t.Error("the TPM runs, since xenstored failed")
	}
	w.host.Store.Unreadable(node, false)
	w.say("1\x00") // another word
	for end := time.Now().Add(20 * time.Second); w.h.isFrozen(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the TPM is not thawed")
		}
	}
}

// TestFreezeFailedAtEnd: the manager is away while the TPM is frozen, so that it can be neither
// suspended nor thawed. If the domain ends then, with the manager there again, the TPM is
// suspended all the same.
func TestFreezeFailedAtEnd(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"request", "answer"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			w := newFrozenWorld(t)
			working := w.h.manager.Transact
			away := atomic.Bool{}
			away.Store(true)
			w.h.manager.Transact = func(b []byte) ([]byte, error) {
				if !away.Load() {
					return working(b)
				}
				if lost == "answer" {
					working(b)
				}
				return nil, errors.New("no manager")
			}
			w.say("1")
			w.await("error: ")
			if !w.h.isFrozen() {
				t.Fatal("it was thawed without the manager")
			}
			w.stop()
			away.Store(false)
			w.h.end()
			if !w.found() {
				t.Error("the guest does not find its TPM after the orderly end of the vTPM's domain")
			}
		})
	}
}

// TestThawFailedAtEnd: the manager commits the state that takes the place of the suspended one,
// and the answer is lost. The TPM is no longer suspended then, and is once more if the domain
// ends.
func TestThawFailedAtEnd(t *testing.T) {
	t.Parallel()
	w := newFrozenWorld(t)
	w.disconnect()
	w.stop()
	_, _, err := w.h.freeze()
	w.must(err)
	working := w.h.manager.Transact
	w.h.manager.Transact = func(b []byte) ([]byte, error) { working(b); return nil, errLink }
	if err := w.h.thaw(); err == nil {
		t.Fatal("it is thawed without an answer")
	}
	w.h.manager.Transact = working
	w.h.leave()
	w.h.end()
	if !w.found() {
		t.Error("the guest does not find its TPM after the orderly end of the vTPM's domain")
	}
}

// TestEndWaits: what the vTPM's domain does with the TPM besides its guest, such as to renew
// certificates, is over before the TPM is suspended, or does not begin.
func TestEndWaits(t *testing.T) {
	t.Parallel()
	w := newFrozenWorld(t)
	w.stop()
	ended, begun := make(chan struct{}), make(chan struct{})
	renewed := make(chan error, 1)
	go w.h.gate.run(func() {
		close(begun)
		select {
		case <-ended:
		case <-time.After(100 * time.Millisecond):
		}
		renewed <- w.h.device.SetCertificates(map[tcg.TPMHandle][]byte{vtpm.EKChain: {1}})
	})
	<-begun
	w.disconnect()
	go func() { w.h.end(); close(ended) }()
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	<-ended
	if w.h.gate.run(func() { t.Error("it begins after the end") }) {
		t.Error("the gate is open after the end")
	}
	if !w.found() {
		t.Error("the suspended state was lost to what ran besides")
	}
}
