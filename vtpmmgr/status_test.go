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
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
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

// TestStatusOfFailedWrites: a disk of which any write fails is degraded, and well again
// once it has taken a commit.
func TestStatusOfFailedWrites(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{}, {Daily: 54}, {Bounded: time.Minute}} {
		disk := blocktest.NewMem(testDisk)
		m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: disk, Mode: mode}, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		admin := connect(t, m, Peer{})
		says := func() string {
			s, err := admin.Status()
			if err != nil {
				t.Fatal(err)
			}
			return s["disk"]
		}
		for fail := 1; fail < 5; fail++ { // the write of a sector that fails first
			n := 0
			disk.Hook = func() error {
				if n++; n >= fail {
					return errors.New("input/output error")
				}
				return nil
			}
			if err := enroll(admin, testUUID); !errors.Is(err, proto.Failed) {
				t.Fatalf("%v, write %d: %v", mode, fail, err)
			}
			if s := says(); !strings.Contains(s, "degraded") || !strings.Contains(s, "input/output error") {
				t.Errorf("%v: write %d of the disk failed, and STATUS has: disk %s", mode, fail, s)
			}
			disk.Hook = nil
			if err := enroll(admin, testUUID); err != nil {
				t.Fatalf("%v, after write %d: %v", mode, fail, err)
			}
			if s := says(); s != "ok" {
				t.Errorf("%v: the disk takes writes again, and STATUS has: disk %s", mode, s)
			}
			if err := admin.Destroy(testUUID); err != nil {
				t.Fatal(err)
			}
		}
	}
}
