package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A countingTPM counts writes of NV memory.
type countingTPM struct {
	transport.TPM
	writes int
}

func (c *countingTPM) Send(b []byte) ([]byte, error) {
	switch tpm2.TPMCC(binary.BigEndian.Uint32(b[6:])) {
	case tpm2.TPMCCNVExtend, tpm2.TPMCCNVIncrement:
		c.writes++
	}
	return c.TPM.Send(b)
}

// TestFailingStarts: after a start of the host the manager's disk takes no writes, and the
// manager is started again and again: the chip is not written.
func TestFailingStarts(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{Daily: 54}, {}, {Bounded: time.Minute}} {
		chip, disk := &countingTPM{TPM: hardwareTPM(t)}, blocktest.NewMem(testDisk)
		cfg := Config{TPM: chip, Disk: disk, Log: func(string, ...any) {}, Mode: mode}
		m, err := Initialize(cfg, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		reset(t, chip.TPM)
		chip.writes = 0
		disk.Hook = func() error { return errors.New("read-only") }
		for range 5 {
			if _, err := Open(cfg); err == nil {
				t.Fatal("opened")
			}
		}
		disk.Hook = nil
		if chip.writes != 0 {
			t.Errorf("%v: 5 starts that failed wrote %d times", mode, chip.writes)
		}
		if _, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		if mode.Daily != 0 && chip.writes != 2 {
			t.Errorf("%v: the start that succeeded wrote %d times, want a checkpoint and the counter", mode, chip.writes)
		}
	}
}

// TestStartsAndEnds: managers that start and end in order, with nothing between, write
// nothing in budget mode.
func TestStartsAndEnds(t *testing.T) {
	t.Parallel()
	chip := &countingTPM{TPM: hardwareTPM(t)}
	cfg := Config{TPM: chip, Disk: blocktest.NewMem(testDisk), Log: func(string, ...any) {}, Mode: ledger.Mode{Daily: 54}}
	m, err := Initialize(cfg, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			chip.writes = 0
		}
		if m, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if chip.writes != 0 {
		t.Errorf("8 starts and ends wrote %d times", chip.writes)
	}
}

// TestStartCountedLater: a start that is cut off after its commit, before it is counted, is
// counted by the next: an order to restore that was signed before serves no more.
func TestStartCountedLater(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{Daily: 54}, {}} {
		tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
		tap := &failingTPM{TPM: tpm}
		cfg := Config{TPM: tap, Disk: disk, Log: func(string, ...any) {}, Mode: mode}
		m, err := Initialize(cfg, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		old := bytes.Clone(disk.Data)
		if err := errors.Join(enroll(connect(t, m, Peer{}), testUUID), m.Close()); err != nil {
			t.Fatal(err)
		}
		n, err := m.tpm.Counter()
		if err != nil {
			t.Fatal(err)
		}
		order := ed25519.Sign(testAdmin, proto.SignedRestore(m.id, n))
		reset(t, tpm)
		tap.fails = func(cc, _ uint32) bool { return cc == uint32(tpm2.TPMCCNVIncrement) }
		for range 3 {
			if _, err := Open(cfg); err == nil {
				t.Fatalf("%v: a start that could not be counted", mode)
			}
		}
		tap.fails = nil
		for range 2 { // the second is not counted in budget mode
			if m, err = Open(cfg); err != nil {
				t.Fatal(err)
			}
		}
		if now, err := m.tpm.Counter(); err != nil || now != m.config.counter || now <= n || mode.Daily != 0 && now != n+1 {
			t.Errorf("%v: count %d after %d, in the configuration %d, %v", mode, now, n, m.config.counter, err)
		}
		copy(disk.Data, old)
		if _, err := OpenRestored(cfg, order); !errors.Is(err, ErrRestore) {
			t.Errorf("%v: the order of before: %v", mode, err)
		}
	}
}

// TestOldPairStays: old NV indices that the TPM does not remove are made useless once, not
// at each start.
func TestOldPairStays(t *testing.T) {
	t.Parallel()
	w := newMoveWorld(t, ledger.Mode{Daily: 54})
	w.must(w.m.Close())
	tap := &failingTPM{TPM: w.cfg.TPM, fails: func(cc, _ uint32) bool { return cc == uint32(tpm2.TPMCCNVUndefineSpace) }}
	chip := &countingTPM{TPM: tap}
	w.cfg.TPM = chip
	w.move()
	chip.writes = 0
	for range 4 {
		w.open()
	}
	if chip.writes != 0 {
		t.Errorf("4 starts wrote %d times, since old indices stay", chip.writes)
	}
}

// TestChainOfSealed: the root key is sealed to a PCR that the command line then names for the
// chain of commits: a start is refused, before a commit makes that the root key does not open.
func TestChainOfSealed(t *testing.T) {
	t.Parallel()
	setup := testSetup()
	setup.PCRs = []uint{7, 14}
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	cfg := Config{TPM: tpm, Disk: disk, Log: func(string, ...any) {}, Mode: ledger.Mode{Daily: 54}}
	m, err := Initialize(cfg, setup)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	reset(t, tpm)
	wrong := cfg
	wrong.PCR = 14
	for range 2 {
		if _, err := Open(wrong); err == nil || !strings.Contains(err.Error(), "PCR 14 changes with each commit") {
			t.Fatalf("anchor-pcr=14: %v", err)
		}
	}
	if _, err = Open(cfg); err != nil {
		t.Errorf("without the word: %v", err)
	}
}
