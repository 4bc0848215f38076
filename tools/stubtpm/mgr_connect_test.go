package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/proto"
)

// A handler gives each connection a session of a manager.
type handler struct{ m *vtpmmgr.Manager }

func (h handler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	u, err := proto.ParseUUID(p.UUID)
	if err != nil {
		return nil, err
	}
	s, err := h.m.Open(vtpmmgr.Peer{Domain: uint16(p.Domain), UUID: u})
	if err != nil {
		return nil, err
	}
	return session{s}, nil
}

type session struct{ s *vtpmmgr.Session }

func (s session) Execute(_ uint8, message []byte) []byte { return s.s.Execute(message) }
func (session) Cancel()                                  {}
func (s session) Close()                                 { s.s.Close() }

// TestConnect gives orders over rings, as dom0 does, in a host of this
// process; also after an order that was killed.
func TestConnect(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := newSite(t, nil)
	key, err := readSigner(s.file("admin"))
	if err != nil {
		t.Fatal(err)
	}
	xen := xentest.NewHost()
	xen.Store.Set(map[string]string{"/local/domain/0/name": "Domain-0", "/local/domain/7/name": "vtpmmgr"})
	manager := xen.Domain(7)
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	server := tpmif.Server{Domain: manager, Handler: handler{s.m}, Log: t.Logf}
	go func() { served <- server.Run(serving) }()
	defer func() {
		stop()
		<-served
		manager.Store.Close()
	}()
	dom0 := xen.Domain(0)
	defer dom0.Store.Close()

	order := func(name string) error {
		return connect(ctx, dom0, name, (&order{}).devices(), func(c *proto.Client) error {
			c.Key = key
			_, err := c.Groups()
			return err
		})
	}
	left := func() string {
		list, err := dom0.Store.Directory(ctx, "/local/domain/0/device/vtpm")
		if err != nil {
			return ""
		}
		return strings.Join(list, " ")
	}
	for _, name := range []string{"vtpmmgr", "7", "vtpmmgr"} {
		if err := order(name); err != nil || left() != "" {
			t.Errorf("order of %s: %v; left are %q", name, err, left())
		}
	}
	var reached reachError
	if err := order("nobody"); !errors.As(err, &reached) {
		t.Errorf("no manager: %v", err)
	}
	// A killed order leaves its nodes, and its ring.
	path, err := tpmif.Attach(ctx, dom0.Store, tpmif.Device{Front: 0, Back: 7, UUID: adminUUID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpmif.ConnectAt(ctx, dom0, path); err != nil {
		t.Fatal(err)
	}
	// And the toolstack may have given dom0 a TPM of its own.
	own := tpmif.Device{Front: 0, Back: 7, ID: 1, UUID: testUUID}
	if _, err := tpmif.Attach(ctx, dom0.Store, own); err != nil {
		t.Fatal(err)
	}
	xen.Store.Set(map[string]string{"/libxl/0/device/vtpm/1/uuid": testUUID})
	if err := order("vtpmmgr"); err != nil || left() != "1" {
		t.Errorf("after a killed order: %v; left are %q", err, left())
	}
}

// stuck is a session that leaves orders without an answer until it is let go, as one
// whose manager waits for its disk.
type stuck struct {
	session
	orders <-chan struct{}
}

func (s stuck) Execute(l uint8, message []byte) []byte {
	if _, ordinal, _, err := proto.Parse(message); err == nil && proto.Ordinal(ordinal) != proto.Status {
		<-s.orders
	}
	return s.session.Execute(l, message)
}

// TestStatusBesideOrder: how the manager is can be asked while an order waits, and the
// order's device is not taken for one that is left over.
func TestStatusBesideOrder(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := newSite(t, nil)
	xen := xentest.NewHost()
	xen.Store.Set(map[string]string{"/local/domain/0/name": "Domain-0", "/local/domain/7/name": "vtpmmgr"})
	manager, dom0 := xen.Domain(7), xen.Domain(0)
	release := make(chan struct{})
	server := tpmif.Server{Domain: manager, Handler: opens(func(p tpmif.Peer) (tpmif.Conn, error) {
		c, err := handler{s.m}.Open(p)
		if err != nil {
			return nil, err
		}
		return stuck{c.(session), release}, nil
	}), Log: t.Logf}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- server.Run(serving) }()
	defer func() {
		stop()
		<-served
		manager.Store.Close()
		dom0.Store.Close()
	}()
	dir := t.TempDir()
	ask := func(name string, run func(c *proto.Client) error) error {
		l := findOrder([]string{name}).devices()
		lock, err := lockAt(ctx, filepath.Join(dir, filepath.Base(l.lock)))
		if err != nil {
			return err
		}
		defer lock.Close()
		return connect(ctx, dom0, "vtpmmgr", l, run)
	}
	asked, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		answered <- ask("list", func(c *proto.Client) error {
			close(asked)
			_, err := c.Hello()
			return err
		})
	}()
	<-asked
	err := ask("status", func(c *proto.Client) error {
		_, err := c.Status()
		return err
	})
	close(release)
	if err != nil {
		t.Error("status:", err)
	}
	if err := <-answered; err != nil {
		t.Error("the order:", err)
	}
}

type opens func(p tpmif.Peer) (tpmif.Conn, error)

func (f opens) Open(p tpmif.Peer) (tpmif.Conn, error) { return f(p) }

func TestLock(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "run", "lock")
	first, err := lockAt(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := lockAt(short, name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held: %v", err)
	}
	got := make(chan *os.File, 1)
	go func() {
		f, err := lockAt(t.Context(), name)
		if err != nil {
			t.Error(err)
		}
		got <- f
	}()
	first.Close()
	if f := <-got; f != nil {
		f.Close()
	}
}
