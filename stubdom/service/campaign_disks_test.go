package service

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The campaign of old disks: an attacker keeps the manager's disk as it is at
// each step of its life, and puts each of them back, with the platform up,
// after a loss of power, and over an orderly end. What may be taken is computed
// from what the hardware TPM was asked to do.

// A keeper is a life of a manager with all that was kept of it. What its vTPM
// commits has a number, by which a disk is known.
type keeper struct {
	*testing.T
	mode    ledger.Mode
	c       *computer
	m       *realManager
	line    *line // that m has to the TPM
	guest   *proto.Client
	writing uint64 // number that is being committed, or was last
	last    uint64 // that was answered last
	mark    uint64 // that is in the NV index
	kept    []keptDisk
	classes map[string]int
}

type keptDisk struct {
	data []byte
	at   uint64 // number that was being committed
}

// A line to a TPM can be cut: a manager that was killed does nothing any more.
type line struct {
	transport.TPM
	off atomic.Bool
}

func (l *line) Send(b []byte) ([]byte, error) {
	if l.off.Load() {
		return nil, errChip
	}
	return l.TPM.Send(b)
}

// kill ends a manager without its doing anything.
func kill(m *realManager, l *line) {
	l.off.Store(true)
	m.Close() // fails, and ends its timer
}

// Send notes what goes into the NV index.
func (k *keeper) Send(b []byte) ([]byte, error) {
	r, err := k.c.chip.Send(b)
	const nvExtend = 0x136
	if err == nil && binary.BigEndian.Uint32(b[6:]) == nvExtend && binary.BigEndian.Uint32(r[6:]) == 0 {
		k.mark = k.writing
	}
	return r, err
}

func (k *keeper) keep() {
	b := make([]byte, k.c.mgr.Size())
	if _, err := k.c.mgr.ReadAt(b, 0); err == nil {
		k.kept = append(k.kept, keptDisk{b, k.writing})
	}
}

// run starts the manager of the machine.
func (k *keeper) run(mode ledger.Mode) {
	k.line = &line{TPM: k}
	m, err := openManager(k.line, k.c.mgr, mode, func(string, ...any) {})
	if err != nil {
		k.Fatal(err)
	}
	k.m = m.(*realManager)
	execute, err := k.m.connect(campaignUUID)
	if err != nil {
		k.Fatal(err)
	}
	k.guest = &proto.Client{Transact: func(b []byte) ([]byte, error) { return execute(b), nil }}
	if _, err := k.guest.Load(); err != nil {
		k.Fatal(err)
	}
}

func (k *keeper) commit(failed bool) {
	k.writing++
	s := &proto.State{Sequence: k.writing, Hash: [32]byte{byte(k.writing)}, Key: [32]byte{1}}
	if failed {
		s.Floors.FailedTries = uint32(k.writing)
	}
	if err := k.guest.Commit(s); err != nil {
		k.Fatal(err)
	}
	k.last = k.writing
	k.keep()
}

// shown starts a manager of a disk and returns the number on it.
func (k *keeper) shown(bus transport.TPM, disk []byte) (uint64, error) {
	l := &line{TPM: bus}
	m, err := openManager(l, blocktest.NewPower(disk), k.mode, func(string, ...any) {})
	if err != nil {
		return 0, err
	}
	defer kill(m.(*realManager), l)
	execute, err := m.connect(campaignUUID)
	if err != nil {
		return 0, err
	}
	g, err := (&proto.Client{Transact: func(b []byte) ([]byte, error) { return execute(b), nil }}).Load()
	return g.State.Sequence, err
}

// back puts every disk back, on a TPM of what has. The oldest number that may be
// shown is least.
func (k *keeper) back(class string, least uint64, up bool, chip func() transport.TPM) {
	for n, disk := range k.kept {
		if up && disk.at >= k.last {
			continue // it may be the right one, and would be taken, and go on
		}
		k.classes[class]++
		got, err := k.shown(chip(), append([]byte(nil), disk.data...))
		switch {
		case err == nil && got < least:
			k.Errorf("%s: disk %d of %d (commit %d) shows %d, and %d is the oldest that may be taken back", class, n, len(k.kept), disk.at, got, least)
		case err != nil && !errors.Is(err, ledger.ErrRolledBack):
			k.Errorf("%s: disk %d: %v", class, n, err)
		case err != nil && !up && disk.at > least:
			k.Errorf("%s: disk %d (commit %d) is refused, and would be taken after a loss of power: %v", class, n, disk.at, err)
		}
	}
	if least == k.last && k.classes[class] == 0 {
		k.Errorf("%s: nothing was put back", class)
	}
}

// TestCampaignDisks plays a life in each mode: commits, some of them urgent, a
// crash of the manager in the middle, and then every accident.
func TestCampaignDisks(t *testing.T) {
	t.Parallel()
	make := func(b []byte) (silicon, error) { return newOwn(b) }
	for _, mode := range []ledger.Mode{{Daily: 54}, {}, {Bounded: time.Hour}} {
		t.Run(mode.String(), func(t *testing.T) {
			commits := 6
			if testing.Short() {
				commits = 3
			}
			base := newSnapshot(t, make, mode)
			k := &keeper{T: t, mode: mode, classes: map[string]int{}}
			var err error
			if k.c, err = base.computer(&plan{}, make, mode, t.Logf); err != nil {
				t.Fatal(err)
			}
			before := k.c.mgr.Before
			k.c.mgr.Before = func(flush bool) bool {
				if flush {
					k.keep()
				}
				return before(flush)
			}
			k.last = k.start()
			k.writing = k.last
			for n := range commits {
				k.commit(n == 1) // one is urgent
			}
			kill(k.m, k.line)
			k.run(mode) // the manager crashed
			for range commits {
				k.commit(false)
			}

			// The platform is up: each is refused but the last, which serves.
			kill(k.m, k.line)
			if mode.Bounded == 0 {
				k.back("manager crashed, platform up", k.last, true, func() transport.TPM { return k })
			}
			k.run(mode)
			g, err := k.guest.Load()
			if err != nil || g.State.Sequence != k.last {
				t.Fatalf("the right disk shows %d, %v; the last is %d", g.State.Sequence, err, k.last)
			}
			k.commit(false)

			// Power is lost: those since the last checkpoint may be taken.
			mark := k.mark
			if mode == (ledger.Mode{}) && mark != k.last {
				t.Errorf("strict: checkpoint of %d, and the last is %d", mark, k.last)
			}
			if mode.Daily != 0 && (mark == k.last || mark == 0) {
				t.Errorf("budget: checkpoint of %d, and the last is %d: nothing is tried", mark, k.last)
			}
			powerless := func(state []byte) func() transport.TPM {
				return func() transport.TPM {
					d, err := make(state)
					if err != nil {
						t.Fatal(err)
					}
					return &chip{plan: &plan{}, d: d}
				}
			}
			state := k.c.chip.d.(*own).cut()
			k.back("power lost", mark, false, powerless(state))

			// An orderly end: then only the last one.
			if err := k.m.Close(); err != nil {
				t.Fatal(err)
			}
			k.keep()
			if k.mark != k.last {
				t.Errorf("an orderly end: checkpoint of %d, and the last is %d", k.mark, k.last)
			}
			state = k.c.chip.d.(*own).cut()
			k.back("orderly end, and power lost", k.last, false, powerless(state))
			for class, n := range k.classes {
				t.Logf("%5d  %s", n, class)
			}
			if len(k.classes) < 2 {
				t.Error("too few")
			}
		})
	}
}

// start runs the manager for the first time, and returns the number that it has.
func (k *keeper) start() uint64 {
	k.run(k.mode)
	g, err := k.guest.Load()
	if err != nil {
		k.Fatal(err)
	}
	return g.State.Sequence
}
