package vtpmmgr

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestTurns: nobody has a turn beside another, and an order waits for one commit
// at most, however many there are.
func TestTurns(t *testing.T) {
	t.Parallel()
	var ts turns
	var inside, commits atomic.Int64
	u := UUID{1}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				end := ts.take(u, false)
				if inside.Add(1) != 1 {
					t.Error("two have the turn")
				}
				commits.Add(1)
				time.Sleep(100 * time.Microsecond)
				inside.Add(-1)
				end()
			}
		})
	}
	for range 50 {
		before := commits.Load()
		end := ts.take(u, true)
		if n := commits.Load() - before; n > 2 { // one that had it, one that took it before the order was there
			t.Errorf("an order waited for %d commits", n)
		}
		end()
		time.Sleep(200 * time.Microsecond)
	}
	close(stop)
	wait.Wait()
	if len(ts.of) != 0 {
		t.Errorf("%d turns are kept that nobody wants", len(ts.of))
	}
}

// TestBusyVTPM: a vTPM commits without a pause; each order about it takes
// effect.
func TestBusyVTPM(t *testing.T) {
	t.Parallel()
	// In a mode that lets a vTPM commit so often.
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Mode: ledger.Mode{Daily: 54}, Log: t.Logf}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, m, Peer{})
	for round := range 5 {
		u := UUID{0xAA, byte(round)} // each has a share of its own
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
		c, end := live(t, m, Peer{Domain: uint16(5 + round), UUID: u}, 1)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for n := uint64(2); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.Commit(testState(n)); err != nil {
					return // suspended, and later destroyed
				}
			}
		}()
		time.Sleep(5 * time.Millisecond)
		for name, do := range map[string]func() error{
			"amend":   func() error { return admin.Amend(&proto.Enrollment{UUID: u, Name: "other"}) },
			"suspend": func() error { return admin.Suspend(u) },
			"resume":  func() error { return admin.Resume(u) },
		} {
			if err := do(); err != nil {
				t.Errorf("round %d: %s: %v", round, name, err)
			}
		}
		if err := admin.Destroy(u); err != nil {
			t.Errorf("round %d: destroy: %v", round, err)
		}
		close(stop)
		<-stopped
		end()
	}
}
