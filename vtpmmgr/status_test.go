package vtpmmgr

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

// A hung TPM gives no answer until it is let go.
type hung struct {
	transport.TPM
	on   atomic.Bool
	once sync.Once
	go_  chan struct{}
}

func (h *hung) Send(b []byte) ([]byte, error) {
	if h.on.Load() {
		<-h.go_
	}
	return h.TPM.Send(b)
}

func (h *hung) letGo() { h.once.Do(func() { close(h.go_) }) }

// A sickDisk says that it is not well.
type sickDisk struct{ block.Device }

var errSick = errors.New("no answer for a minute")

func (sickDisk) Health() error { return errSick }

// TestStatusWaitsForNothing: whatever of the hardware hangs, and whoever waits
// for it, an administrator is answered, and others can connect.
func TestStatusWaitsForNothing(t *testing.T) {
	t.Parallel()
	bus := &hung{TPM: hardwareTPM(t), go_: make(chan struct{})}
	m := newTestManager(t, bus, sickDisk{blocktest.NewMem(testDisk)})
	admin := connect(t, m, Peer{})
	uuids := []UUID{{1}, {2}, {3}}
	for _, u := range uuids {
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
	}
	vtpm := connect(t, m, Peer{Domain: 5, UUID: uuids[0]})
	if _, err := vtpm.Load(); err != nil {
		t.Fatal(err)
	}
	bus.on.Store(true)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer bus.letGo()
	for _, f := range []func(){
		func() { commit(vtpm, 1, [32]byte{1}, [32]byte{2}) },
		func() {
			connect(t, m, Peer{Domain: 6, UUID: uuids[1]}).Load()
		},
		func() { connect(t, m, Peer{}).Suspend(uuids[2]) },
	} {
		waiting.Add(1)
		go func() { defer waiting.Done(); f() }()
	}
	time.Sleep(50 * time.Millisecond) // they are under way
	for range 3 {
		begin := time.Now()
		s, err := connect(t, m, Peer{}).Status()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("STATUS took %v", took)
		}
		if !strings.Contains(s["disk"], errSick.Error()) {
			t.Errorf("disk: %q", s["disk"])
		}
	}
	if s, err := m.Open(Peer{Domain: 7, UUID: uuids[2]}); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
}
