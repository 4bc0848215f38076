package xenbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xentest"
)

// TestFrontend walks a frontend through the handshake, with a backend that
// connects, closes or is removed. Release must leave nothing behind.
func TestFrontend(t *testing.T) {
	t.Parallel()
	const front, back = "/local/domain/5/device/x/0", "/local/domain/2/backend/x/5/0"
	for state, want := range map[string]error{"4": nil, "5": xenbus.ErrPeerClosed, "": xenbus.ErrBackendGone} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h := xentest.NewHost()
		h.Store.Set(map[string]string{front + "/backend": back, front + "/backend-id": "2", front + "/state": "1", back + "/state": "2"})
		f := xenbus.Frontend{Domain: h.Domain(5), Path: "device/x/0"}
		defer f.Domain.Store.Close()
		if err := f.Find(ctx); err != nil || f.Peer != 2 || f.Backend != back {
			t.Fatalf("found domain %d at %q: %v", f.Peer, f.Backend, err)
		}
		if _, err := f.WaitReopen(ctx, xenbus.InitWait); err != nil {
			t.Fatal(err)
		}
		if err := f.Share(ctx); err != nil {
			t.Fatal(err)
		}
		if err := f.Offer(ctx, xenbus.Node{Name: "feature", Value: "1"}); err != nil {
			t.Fatal(err)
		}
		peer := h.Domain(2)
		defer peer.Store.Close()
		ref, _ := peer.Store.ReadUint(ctx, front+"/ring-ref")
		port, _ := peer.Store.ReadUint(ctx, front+"/event-channel")
		if xen.GrantRef(ref) != f.Ring.Ref() || xen.Port(port) != f.Channel.Port() {
			t.Errorf("offered grant %d and port %d", ref, port)
		}
		if v, _ := h.Store.Get(front + "/feature"); v != "1" {
			t.Errorf("feature is %q", v)
		}
		if s, err := xenbus.ReadState(ctx, peer.Store, front+"/state"); s != xenbus.Initialised || err != nil {
			t.Errorf("state %v: %v", s, err)
		}
		h.Store.Set(map[string]string{back + "/state": state})
		if err := f.WaitConnected(ctx); !errors.Is(err, want) {
			t.Errorf("backend state %q: %v, want %v", state, err, want)
		}
		f.Release(ctx)
		f.Release(ctx)
		if ports, _, grants := h.Open(); ports != 0 || grants != 0 {
			t.Errorf("%d ports and %d grants are left", ports, grants)
		}
	}
}
