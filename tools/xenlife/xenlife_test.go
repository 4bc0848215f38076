package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xentest"
)

// A fake is a host whose toolstack is a record of orders.
type fake struct {
	*Host
	t     *testing.T
	xen   *xentest.Host
	mu    sync.Mutex
	did   []string
	fail  string // beginning of an order that fails
	reply string

	create map[string]string // nodes that appear with an order to create
}

// paused is what xl list prints of a domain that was created and has not run.
const paused = "Name                                        ID   Mem VCPUs\tState\tTime(s)\nx   8    24     1     --p---       0.0\n"

func newFake(t *testing.T) *fake {
	f := &fake{t: t, xen: xentest.NewHost()}
	f.Host = &Host{Store: f.xen.Domain(0).Store, State: filepath.Join(t.TempDir(), "run"), Log: t.Logf, XL: f.xl}
	t.Cleanup(func() { f.Store.Close() })
	return f
}

func (f *fake) xl(_ context.Context, args ...string) (string, error) {
	order := strings.Join(args, " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, order)
	switch args[0] {
	case "create", "restore":
		f.xen.Store.Set(f.create)
	case "shutdown":
		f.Store.Remove(context.Background(), "/local/domain/"+args[1])
	}
	if f.fail != "" && strings.HasPrefix(order, f.fail) {
		return "", errors.New("no")
	}
	return f.reply, nil
}

func (f *fake) orders() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := strings.Join(f.did, "; ")
	f.did = nil
	return s
}

// front makes the nodes of a device of a domain that runs, and a driver that
// closes when its backend does.
func (f *fake) front(ctx context.Context, front, back xen.DomID) {
	f.t.Helper()
	fe := fmt.Sprintf("/local/domain/%d/device/vtpm/0", front)
	be := fmt.Sprintf("/local/domain/%d/backend/vtpm/%d/0", back, front)
	l := fmt.Sprintf("/libxl/%d/device/vtpm/0", front)
	f.xen.Store.Set(map[string]string{
		fmt.Sprintf("/local/domain/%d/name", front): "guest",
		l + "/frontend": fe, l + "/backend": be, l + "/uuid": "u1",
		fe + "/state": "4",
	})
	// It reads as its own domain, so the permissions count, too.
	store := f.xen.Domain(front).Store
	go func() {
		defer store.Close()
		for ctx.Err() == nil {
			if s, err := store.Read(ctx, be+"/state"); err == nil && s == "6" {
				f.xen.Store.Set(map[string]string{fe + "/state": "6"})
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
}

func TestReattach(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.front(t.Context(), 5, 2)
	f.front(t.Context(), 6, 3) // another's
	if err := f.Reattach(t.Context(), "vtpm-a", []xen.DomID{1, 2}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.orders(), "vtpm-detach 5 0; vtpm-attach 5 backend=vtpm-a uuid=u1"; got != want {
		t.Errorf("orders: %s\nwant: %s", got, want)
	}
	if v, ok := f.xen.Store.Get("/local/domain/2/backend/vtpm/5/0/state"); ok {
		t.Errorf("the dead domain still has a state: %s", v)
	}
}

// TestTell: a manager is told of an image before the domain of it may connect,
// and its successor again.
func TestTell(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	fail := false
	f.ReportMeasured = func(ctx context.Context, manager string, id xen.DomID, hash string) error {
		if fail {
			return errors.New("no")
		}
		_, err := f.xl(ctx, "tell", manager, fmt.Sprint(id), hash)
		return err
	}
	config := config{"name": {"vtpm-a"}, "vtpm": {"backend=mgr,uuid=u1"}}
	f.xen.Store.Set(map[string]string{"/local/domain/5/name": "vtpm-a"})
	if err := f.reportMeasured(t.Context(), config, 4, "00"); err != nil {
		t.Fatal(err)
	}
	if err := f.reportMeasured(t.Context(), config, 5, "ab"); err != nil {
		t.Fatal(err)
	}
	if err := f.reportMeasured(t.Context(), map[string][]string{"name": {"mgr"}}, 6, "cd"); err != nil {
		t.Fatal(err)
	}
	if got, want := f.orders(), "tell mgr 4 00; tell mgr 5 ab"; got != want {
		t.Errorf("orders: %s\nwant: %s", got, want)
	}
	f.front(t.Context(), 5, 2)
	f.front(t.Context(), 4, 2) // gone meanwhile, and its number is another's
	fail = true
	if err := f.Reattach(t.Context(), "mgr", []xen.DomID{2}); err == nil || strings.Contains(f.orders(), "attach 5") {
		t.Errorf("a manager that was not told: %v", err)
	}
	fail = false
	if err := f.Reattach(t.Context(), "mgr", []xen.DomID{2}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.orders(), "tell mgr 5 ab; vtpm-attach 5 backend=mgr uuid=u1"; !strings.Contains(got, want) || strings.Contains(got, "tell mgr 4") {
		t.Errorf("orders: %s\nwant: %s", got, want)
	}
}

// TestDebt: a device that was taken away and could not be given back is given
// back by the next incarnation.
func TestDebt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.front(t.Context(), 5, 2)
	f.fail = "vtpm-attach"
	if err := f.Reattach(t.Context(), "vtpm-a", []xen.DomID{2}); err == nil {
		t.Fatal("a failed order was not told")
	}
	f.orders()
	if err := f.Store.Remove(t.Context(), "/libxl/5"); err != nil { // as vtpm-detach does
		t.Fatal(err)
	}
	f.fail = ""
	if err := f.Reattach(t.Context(), "vtpm-a", []xen.DomID{2, 3}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.orders(), "vtpm-attach 5 backend=vtpm-a uuid=u1"; got != want {
		t.Errorf("orders: %s\nwant: %s", got, want)
	}
	if err := f.Reattach(t.Context(), "vtpm-a", []xen.DomID{2, 3}); err != nil || f.orders() != "" {
		t.Errorf("a debt was paid twice: %v", err)
	}
	// Nothing is owed to a domain that ended.
	if err := f.recordPending("vtpm-a", pendingDevice{9, "u2"}); err != nil {
		t.Fatal(err)
	}
	f.fail = "vtpm-attach"
	if err := f.Reattach(t.Context(), "vtpm-a", nil); err != nil {
		t.Error(err)
	}
	if list, err := f.pendingDevices("vtpm-a"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]xen.DomID{"/local/domain/7/backend/vtpm/1/0": 7} {
		if got, ok := backendDomain(path); !ok || got != want {
			t.Errorf("%s: %d, %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "/local/domain/7", "/local/domain/x/backend", "/vm/7/x", "/local/domain/70000/x"} {
		if got, ok := backendDomain(path); ok {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := printable("a\x1b[31m\nb"); got != "a?[31m?b" {
		t.Errorf("%q", got)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	if l, err := f.domainIDs("x"); err != nil || l != nil {
		t.Errorf("%v, %v", l, err)
	}
	if err := f.saveDomainIDs("x", []xen.DomID{3, 9}); err != nil {
		t.Fatal(err)
	}
	if l, err := f.domainIDs("x"); err != nil || len(l) != 2 || l[1] != 9 {
		t.Errorf("%v, %v", l, err)
	}
	if err := os.WriteFile(f.stateFile("x"), []byte("3 nine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.domainIDs("x"); err == nil {
		t.Error("a spoilt file was taken")
	}
}

func TestNotRun(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	const head = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
	for reply, ok := range map[string]bool{
		head + "vtpm-guest1                                  4    24     1     --p---       0.0\n": true,
		head + "vtpm-guest1                                  4    24     1     --p---       0.1\n": false,
		head + "vtpm-guest1                                  4    24     1     r-----       0.0\n": false,
		"": false,
	} {
		f.reply = reply
		if err := f.CheckNotRun(t.Context(), 4); (err == nil) != ok {
			t.Errorf("%q: %v", reply, err)
		}
	}
}
