package vtpmmgr

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// quietState is a state without failed authorizations.
func quietState(n uint64) *proto.State {
	s := testState(n)
	s.Floors.FailedTries = 0
	return s
}

// TestHost is some minutes of a host by a clock of its own, with the whole
// manager and a TPM that takes 20 ms for a command: 1,000 vTPMs with idle guests,
// ten that write five times a second, and two that attack: one asks for what it may as
// fast as it is answered, one fails authorizations. Nobody's commit but theirs takes more than
// two seconds.
func TestHost(t *testing.T) {
	t.Parallel()
	idlers, length := 1000, 10*time.Minute
	if testing.Short() {
		idlers, length = 100, time.Minute
	}
	synctest.Test(t, func(t *testing.T) {
		chip := &chipOf{TPM: hardwareTPM(t)}
		m, err := Initialize(Config{TPM: chip, Disk: blocktest.NewMem(2 << 20), Mode: ledger.Budget(100_000, 5)}, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		admin := as(t, m, testAdmin)
		client := func(n int) *proto.Client {
			u := UUID{byte(n >> 8), byte(n), 1}
			if err := enroll(admin, u); err != nil {
				t.Fatal(err)
			}
			c := connect(t, m, Peer{Domain: uint16(n + 1), UUID: u})
			if _, err := c.Load(); err != nil {
				t.Fatal(err)
			}
			if err := c.Commit(quietState(1)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		var all []*proto.Client
		for n := range idlers + 12 {
			all = append(all, client(n))
		}
		time.Sleep(24 * time.Hour) // credit for a day
		chip.command = 20 * time.Millisecond
		before := m.store.Wear().Writes

		var mu sync.Mutex
		var took []time.Duration
		var wait sync.WaitGroup
		end := time.Now().Add(length)
		commits := func(c *proto.Client, first, each time.Duration, idle bool) {
			wait.Go(func() {
				time.Sleep(first)
				for n := uint64(2); time.Now().Before(end); n++ {
					start, commit := time.Now(), c.Commit
					if idle {
						commit = c.CommitIdle
					}
					if err := commit(quietState(n)); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(start))
					mu.Unlock()
					time.Sleep(each)
				}
			})
		}
		for n, c := range all[:idlers] {
			commits(c, 70*time.Minute*time.Duration(n)/time.Duration(idlers), 70*time.Minute, true)
		}
		for n, c := range all[idlers : idlers+10] {
			commits(c, time.Duration(n)*17*time.Millisecond, 200*time.Millisecond, false)
		}
		attacks := 0
		attack := func(do func() error) {
			wait.Go(func() {
				for time.Now().Before(end) {
					if err := do(); errors.Is(err, proto.Rate) || err == nil {
						mu.Lock()
						attacks++
						mu.Unlock()
						time.Sleep(time.Millisecond) // the ring's way there and back
					} else {
						t.Error(err)
						return
					}
				}
			})
		}
		greedy, guessing := all[idlers+10], all[idlers+11]
		n := 0
		attack(func() error {
			n++
			if n%2 == 0 {
				_, err := greedy.Load()
				return err
			}
			_, err := greedy.Random(proto.MaxRandom)
			return err
		})
		sequence := uint64(2)
		attack(func() error {
			s := testState(sequence)
			s.Floors.FailedTries = uint32(sequence) + 100
			err := guessing.Commit(s)
			if err == nil {
				sequence++
			}
			return err
		})
		wait.Wait()
		slices.Sort(took)
		most := took[len(took)-1]
		t.Logf("%d commits beside %d requests of attackers: p50 %v, p99 %v, most %v; %d NV writes", len(took), attacks,
			took[len(took)/2], took[len(took)*99/100], most, m.store.Wear().Writes-before)
		if most > 2*time.Second {
			t.Errorf("a commit took %v", most)
		}
	})
}
