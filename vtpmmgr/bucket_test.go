package vtpmmgr

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A chipOf takes a chip's time for each command: in a bubble, of its clock.
type chipOf struct {
	transport.TPM
	command time.Duration
}

func (c chipOf) Send(b []byte) ([]byte, error) {
	time.Sleep(c.command)
	return c.TPM.Send(b)
}

// A flooded manager has so many vTPMs that ask without a pause, and one that
// commits five times a second for a while. It returns how long that one's commits took,
// sorted.
func flooded(t testing.TB, neighbours int, mode ledger.Mode, commits int) []time.Duration {
	m, err := Initialize(Config{TPM: chipOf{hardwareTPM(t), 20 * time.Millisecond}, Disk: blocktest.NewMem(512 << 10), Mode: mode}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := as(t, m, testAdmin)
	var all []*proto.Client
	for n := range neighbours + 1 {
		u := UUID{byte(n + 1)}
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
		s, err := m.Open(Peer{Domain: uint16(n + 1), UUID: u})
		if err != nil {
			t.Fatal(err)
		}
		c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
		if _, err := c.Load(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	quiet, stop := all[neighbours], make(chan struct{})
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(stop)
	for n, c := range all[:neighbours] {
		wait.Go(func() {
			for sequence := uint64(1); ; {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				switch n % 3 {
				case 0:
					_, err = c.Random(proto.MaxRandom)
				case 1:
					_, err = c.Load()
				default:
					if err = c.Commit(quietState(sequence)); err == nil {
						sequence++
					}
				}
				if errors.Is(err, proto.Rate) {
					time.Sleep(time.Millisecond) // the ring's way there and back
				}
			}
		})
	}
	time.Sleep(time.Minute) // until each has used up what it has at once
	var took []time.Duration
	for n := range uint64(commits) {
		time.Sleep(200 * time.Millisecond)
		start := time.Now()
		if err := quiet.Commit(quietState(n + 1)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took
}

// TestFlood has up to 90 neighbours ask without a pause, of a TPM that takes
// 20 ms for a command: 99 of 100 commits of another are answered within five
// commands' time (alone: one), and all within two seconds.
func TestFlood(t *testing.T) {
	t.Parallel()
	all, commits := []int{0, 1, 8, 90}, 1000
	if testing.Short() {
		all, commits = []int{0, 8}, 300
	}
	for _, neighbours := range all {
		synctest.Test(t, func(t *testing.T) {
			took := flooded(t, neighbours, ledger.Mode{Daily: 54}, commits)
			p50, p99, most := took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
			t.Logf("%2d neighbours: p50 %v, p99 %v, most %v", neighbours, p50, p99, most)
			if p99 > 100*time.Millisecond || most > 2*time.Second {
				t.Errorf("%d neighbours: p99 %v, most %v", neighbours, p99, most)
			}
		})
	}
}

// BenchmarkFlood prints the same figures in each mode, by the clock of a bubble.
func BenchmarkFlood(b *testing.B) {
	for _, mode := range []ledger.Mode{{Daily: 54}, {}, {Bounded: time.Second}} {
		for _, neighbours := range []int{0, 1, 8, 90} {
			b.Run(fmt.Sprintf("%v/%d", mode, neighbours), func(b *testing.B) {
				for b.Loop() {
					took := flooded(b, neighbours, mode, 50)
					b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
					b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
				}
			})
		}
	}
}

// TestRate: a vTPM that overdraws is told to come later, and may after a while;
// what it commits does not depend on connections.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
		if err := enroll(as(t, m, testAdmin), testUUID); err != nil {
			t.Fatal(err)
		}
		n, refused := uint64(0), false
		for range 2 * int(strictRate.burst) {
			c, end := live(t, m, Peer{Domain: 1, UUID: testUUID}, n)
			err := c.Commit(testState(n + 1))
			end()
			if errors.Is(err, proto.Rate) {
				refused = true
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if !refused || n < uint64(strictRate.burst)/2 {
			t.Fatalf("%d commits, refused %v", n, refused)
		}
		time.Sleep(time.Minute)
		c, end := live(t, m, Peer{Domain: 1, UUID: testUUID}, n)
		defer end()
		if err := c.Commit(testState(n + 1)); err != nil {
			t.Fatalf("after a minute: %v", err)
		}
	})
}

// TestStartWear counts what managers that end at once write into the chip.
func TestStartWear(t *testing.T) {
	t.Parallel()
	writes := 0
	chip := hardwareTPM(t)
	bus := transportFunc(func(b []byte) ([]byte, error) {
		switch cc := tpm2.TPMCC(uint32(b[6])<<24 | uint32(b[7])<<16 | uint32(b[8])<<8 | uint32(b[9])); cc {
		case tpm2.TPMCCNVExtend, tpm2.TPMCCNVIncrement, tpm2.TPMCCNVDefineSpace:
			writes++
		}
		return chip.Send(b)
	})
	cfg := Config{TPM: bus, Disk: blocktest.NewMem(testDisk), Mode: ledger.Mode{Daily: 54}}
	if _, err := Initialize(cfg, testSetup()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes of an initialization", writes)
	writes = 0
	for range 50 {
		if _, err := Open(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if writes != 0 {
		t.Errorf("%d writes of 50 managers that ended at once", writes)
	}
}

type transportFunc func([]byte) ([]byte, error)

func (f transportFunc) Send(b []byte) ([]byte, error) { return f(b) }

// TestBackupWithoutTPM: a backup is given out though nothing can be committed.
func TestBackupWithoutTPM(t *testing.T) {
	t.Parallel()
	chip := hardwareTPM(t)
	worn := false
	bus := transportFunc(func(b []byte) ([]byte, error) {
		if worn {
			return nil, errors.New("no answer")
		}
		return chip.Send(b)
	})
	m := newTestManager(t, bus, blocktest.NewMem(testDisk))
	admin := as(t, m, testAdmin)
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 1, UUID: testUUID}, 3)
	end()
	worn = true
	b, err := admin.Backup(testUUID)
	if err != nil || len(b) == 0 {
		t.Fatalf("backup: %v", err)
	}
	worn = false
	if u, _, err := admin.Restore(b); err != nil || u != testUUID {
		t.Fatalf("restore: %v", err)
	}
}

// TestSeedFirst: what the hardware TPM gives is mixed in before keys are drawn.
func TestSeedFirst(t *testing.T) {
	t.Parallel()
	chip := hardwareTPM(t)
	seeded := false
	bus := transportFunc(func(b []byte) ([]byte, error) {
		if cc := uint32(b[8])<<8 | uint32(b[9]); cc == uint32(tpm2.TPMCCCreate) && !seeded {
			t.Error("a key is sealed before the generator was seeded")
		}
		return chip.Send(b)
	})
	var seed []byte
	cfg := Config{TPM: bus, Disk: blocktest.NewMem(testDisk), Seed: func(b []byte) { seed, seeded = b, true }}
	if _, err := Initialize(cfg, testSetup()); err != nil || len(seed) < 32 {
		t.Fatalf("%d bytes, %v", len(seed), err)
	}
}

// TestStatusWear shows what STATUS says of the chip's wear.
func TestStatusWear(t *testing.T) {
	t.Parallel()
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Mode: ledger.Mode{Daily: 54}, Endurance: 1000}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := as(t, m, testAdmin)
	s, err := admin.Status()
	if err != nil || s["wear"] != "ok" || s["guard"] != "budget=54" || s["nv-endurance"] != "1000" {
		t.Errorf("%v, %v", s, err)
	}
	for n := range 30 {
		if err := enroll(admin, UUID{byte(n + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	s, err = admin.Status()
	t.Log(s)
	if err != nil || s["wear"] == "ok" || s["nv-writes"] == "0" {
		t.Errorf("30 writes on one day of a chip that bears 1000: %v, %v", s, err)
	}
}
