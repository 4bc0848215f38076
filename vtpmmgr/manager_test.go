package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

const testDisk = 256 << 10

var testUUID = UUID{0xAA, 1}

// Keys of the tests.
var (
	testAdmin    = ed25519.NewKeyFromSeed(make([]byte, 32))
	testHost     = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	testApprover = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func testSetup() Setup {
	return Setup{Admin: public(testAdmin), Host: public(testHost), PCRs: []uint{0, 7}}
}

func enroll(c *proto.Client, u UUID) error { return c.Enroll(&proto.Enrollment{UUID: u}) }

func commit(c *proto.Client, sequence uint64, hash, key [32]byte) error {
	return c.Commit(&proto.State{Sequence: sequence, Hash: hash, Key: key})
}

func newTestManager(t *testing.T, tpm transport.TPM, disk block.Device) *Manager {
	t.Helper()
	m, err := Initialize(Config{TPM: tpm, Disk: disk, Log: t.Logf}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func connect(t testing.TB, m *Manager, p Peer) *proto.Client {
	t.Helper()
	s, err := m.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: testAdmin}
}

func TestLife(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	vtpm := Peer{Domain: 5, UUID: testUUID}

	if _, err := m.Open(vtpm); !errors.Is(err, proto.NotEnrolled) {
		t.Fatalf("unknown vTPM: %v", err)
	}
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	if err := enroll(admin, testUUID); !errors.Is(err, proto.Exists) {
		t.Fatalf("enrolled twice: %v", err)
	}
	c := connect(t, m, vtpm)
	if err := commit(c, 1, [32]byte{1}, [32]byte{2}); !errors.Is(err, proto.NotConnected) {
		t.Fatalf("commit before load: %v", err)
	}
	g, err := c.Load()
	if err != nil || !g.Manufacture || bytes.Equal(g.Entropy[:], make([]byte, 32)) {
		t.Fatalf("first load: %+v, %v", g, err)
	}
	if _, err := m.Open(Peer{Domain: 6, UUID: testUUID}); !errors.Is(err, proto.Busy) {
		t.Fatalf("a second domain with the uuid: %v", err)
	}
	for _, step := range []struct {
		sequence uint64
		err      error
	}{{1, nil}, {1, nil}, {3, proto.BadSequence}, {2, nil}, {1, proto.BadSequence}} {
		err := commit(c, step.sequence, [32]byte{byte(step.sequence)}, [32]byte{2})
		if !errors.Is(err, step.err) {
			t.Fatalf("commit %d: %v, want %v", step.sequence, err, step.err)
		}
	}
	if _, err := c.Hello(); !errors.Is(err, proto.BadOrdinal) {
		t.Fatalf("a vTPM that gives orders: %v", err)
	}

	// The manager's domain starts again.
	m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	c = connect(t, m, vtpm)
	g, err = c.Load()
	if err != nil || g.Manufacture || g.State.Sequence != 2 || g.State.Hash != [32]byte{2} || g.State.Key != [32]byte{2} {
		t.Fatalf("after a restart: %+v, %v", g, err)
	}
	entries, err := connect(t, m, Peer{}).List()
	if err != nil || len(entries) != 1 || entries[0] != (proto.Entry{UUID: testUUID, Sequence: 2, State: true, Connected: true}) {
		t.Fatalf("list: %+v, %v", entries, err)
	}
	if err := connect(t, m, Peer{}).Destroy(testUUID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(); !errors.Is(err, proto.NotEnrolled) {
		t.Fatalf("deleted while connected: %v", err)
	}
	if _, err := Initialize(Config{TPM: tpm, Disk: disk}, testSetup()); !errors.Is(err, hwtpm.ErrInitialized) {
		t.Fatalf("initialized twice: %v", err)
	}
}

func TestRootIsBound(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	newTestManager(t, tpm, disk)
	config := Config{TPM: tpm, Disk: disk, Log: t.Logf}

	other := config
	other.TPM = hardwareTPM(t)
	if _, err := Open(other); !errors.Is(err, hwtpm.ErrOtherTPM) {
		t.Errorf("another TPM: %v", err)
	}
	blank := config
	blank.Disk = blocktest.NewMem(testDisk)
	if _, err := Open(blank); !errors.Is(err, hwtpm.ErrUninitialized) {
		t.Errorf("blank disk: %v", err)
	}
	torn := config
	torn.Disk = &blocktest.Mem{Data: bytes.Clone(disk.Data)}
	for _, at := range []int{100, 4<<10 + 100, 32<<10 + 100, 36<<10 + 100} { // each copy of each root
		clear(torn.Disk.(*blocktest.Mem).Data[hwtpm.Area+at:][:500])
	}
	if _, err := Open(torn); err == nil {
		t.Error("a torn ledger was taken")
	}
	if _, err := Open(config); err != nil {
		t.Fatalf("the right TPM and disk: %v", err)
	}
	extendPCR(t, tpm, 7)
	if _, err := Open(config); !errors.Is(err, hwtpm.ErrPCR) {
		t.Errorf("another PCR: %v", err)
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(config); !errors.Is(err, hwtpm.ErrCleared) {
		t.Errorf("cleared TPM: %v", err)
	}
}

// TestCut cuts the power at every sector that an enrollment writes: the ledger
// is then as before it or as after it.
func TestCut(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	cuts := 0
	for at := 0; ; at++ {
		n := 0
		disk.Hook = func() error {
			if n++; n > at {
				return errors.New("power cut")
			}
			return nil
		}
		s, err := m.Open(Peer{})
		if err != nil {
			t.Fatal(err)
		}
		c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: testAdmin}
		err = enroll(c, UUID{byte(at + 1)})
		disk.Hook = nil
		again, openErr := Open(Config{TPM: tpm, Disk: disk})
		if openErr != nil {
			t.Fatalf("cut %d: %v", at, openErr)
		}
		_, there := again.records[UUID{byte(at + 1)}]
		m = again
		if err == nil {
			if !there {
				t.Fatal("acknowledged, and gone")
			}
			break
		}
		if !errors.Is(err, proto.Failed) {
			t.Fatal(err)
		}
		cuts++
	}
	if cuts == 0 {
		t.Fatal("the power was never cut")
	}
}

func FuzzSession(f *testing.F) {
	f.Add(proto.Message(proto.TagRequest, uint32(proto.Load), nil))
	f.Add(proto.Message(proto.TagAdmin, uint32(proto.List), make([]byte, 4)))
	f.Add(proto.Message(proto.TagAdmin, uint32(proto.Enroll), make([]byte, 16)))
	tpm := hardwareTPM(f)
	m, err := Initialize(Config{TPM: tpm, Disk: blocktest.NewMem(testDisk)}, testSetup())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := m.Open(Peer{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if tag, _, _, err := proto.Parse(s.Execute(b)); err != nil || tag != proto.TagResponse {
			t.Fatalf("answer: tag %#x, %v", tag, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add((&record{uuid: testUUID, state: proto.State{Sequence: 3}, suspended: true, name: "a"}).change().Body)
	f.Add((&config{audit: newAuditEnds(100)}).changes()[0].Body)
	listed := record{uuid: testUUID, attested: true, measured: true, listed: true, programs: strings.Repeat("hash", 8)}
	f.Add(listed.change().Body)
	f.Add(listed.programsChange().Body)
	f.Add((&record{uuid: testUUID, away: transfer.Sent, rooted: true, attested: true, measured: true}).change().Body)
	f.Add((&record{uuid: testUUID, away: transfer.Gone, name: "a", profile: "b"}).change().Body)
	root := make([]byte, 32)
	f.Add((&group{Group: proto.Group{ID: 3, Name: "b", Escrow: make([]byte, 32), Labels: "c,d"}}).changes(root)[0].Body)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecord(b); err == nil && b[1] != 1 && !bytes.Equal(r.change().Body, b) {
			t.Fatal("does not come back")
		}
		if c, err := decodeConfig(b); err == nil && b[1] == configVersion && !bytes.Equal(c.changes()[0].Body, b) {
			t.Fatal("configuration does not come back")
		}
		if g, err := decodeGroup(b, root); err == nil {
			g.changes(root)
		}
		if u, programs, err := decodePrograms(b); err == nil && !bytes.Equal((&record{uuid: u, programs: programs}).programsChange().Body, b) {
			t.Fatal("programs do not come back")
		}
		parseBackup(b)
	})
}

func TestInitializeRefuses(t *testing.T) {
	t.Parallel()
	tpm := hardwareTPM(t)
	for _, off := range []int{0, 510, 1080, hwtpm.Area - 1} { // partition table, ext4, ...
		disk := blocktest.NewMem(testDisk)
		disk.Data[off] = 0x55
		if _, err := Initialize(Config{TPM: tpm, Disk: disk}, testSetup()); !errors.Is(err, hwtpm.ErrNotBlank) {
			t.Errorf("something at %d: %v", off, err)
		}
	}
	setup := testSetup()
	setup.PCRs = []uint{24}
	if _, err := Initialize(Config{TPM: tpm, Disk: blocktest.NewMem(testDisk)}, setup); err == nil {
		t.Error("PCR 24 was taken")
	}
}

// TestCutInitialize cuts the power at every sector of an initialization: the
// disk is then either blank to another one, or opens.
func TestCutInitialize(t *testing.T) {
	t.Parallel()
	cuts := 0
	for at := 0; ; at++ {
		tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
		n := 0
		disk.Hook = func() error {
			if n++; n > at {
				return errors.New("power cut")
			}
			return nil
		}
		_, err := Initialize(Config{TPM: tpm, Disk: disk}, testSetup())
		disk.Hook = nil
		if err == nil {
			break
		}
		cuts++
		_, err = Initialize(Config{TPM: tpm, Disk: disk}, testSetup())
		if errors.Is(err, hwtpm.ErrInitialized) {
			_, err = Open(Config{TPM: tpm, Disk: disk}) // the record was whole
		}
		if err != nil {
			t.Fatalf("cut %d: %v", at, err)
		}
	}
	if cuts == 0 {
		t.Fatal("the power was never cut")
	}
}

// TestBus looks for secrets in what a probe between manager and TPM sees.
func TestBus(t *testing.T) {
	t.Parallel()
	bus, disk := &tapped{TPM: hardwareTPM(t)}, blocktest.NewMem(testDisk)
	newTestManager(t, bus, disk)
	m, err := Open(Config{TPM: bus, Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	random, err := m.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	if len(bus.seen) == 0 {
		t.Fatal("nothing was seen")
	}
	if bytes.Contains(bus.seen, random) {
		t.Error("random bytes are in clear on the bus")
	}
}

// TestDeleteEnroll deletes and enrolls a vTPM under a connection: what that
// one loaded before is of no use.
func TestDeleteEnroll(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	c := connect(t, m, Peer{Domain: 5, UUID: testUUID})
	if _, err := c.Load(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(admin.Destroy(testUUID), enroll(admin, testUUID)); err != nil {
		t.Fatal(err)
	}
	if err := commit(c, 1, [32]byte{1}, [32]byte{2}); !errors.Is(err, proto.NotConnected) {
		t.Fatalf("commit of what was loaded before: %v", err)
	}
}

// TestRolledBack puts old copies of the manager's disk back.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	disk := blocktest.NewMem(testDisk)
	config := Config{TPM: hardwareTPM(t), Disk: disk, Log: t.Logf}
	m, err := Initialize(config, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	var old [][]byte
	keep := func() { old = append(old, bytes.Clone(disk.Data)) }
	keep()
	if err := enroll(connect(t, m, Peer{}), testUUID); err != nil {
		t.Fatal(err)
	}
	c := connect(t, m, Peer{Domain: 5, UUID: testUUID})
	if _, err := c.Load(); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		keep()
		if err := commit(c, n+1, [32]byte{byte(n)}, [32]byte{2}); err != nil {
			t.Fatal(err)
		}
	}
	newest := bytes.Clone(disk.Data)
	for n, b := range old {
		copy(disk.Data, b)
		if _, err := Open(config); !errors.Is(err, ledger.ErrRolledBack) {
			t.Errorf("copy %d: %v", n, err)
		}
	}
	// One of each of the two: the old ledger under the newest root record, and
	// the other way around, which are the same record.
	copy(disk.Data, newest)
	copy(disk.Data[hwtpm.Area:], old[3][hwtpm.Area:])
	if _, err := Open(config); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("old ledger: %v", err)
	}
	copy(disk.Data, newest)
	m, err = Open(config)
	if err != nil {
		t.Fatalf("the newest: %v", err)
	}
	if g, err := connect(t, m, Peer{Domain: 6, UUID: testUUID}).Load(); err != nil || g.State.Sequence != 5 {
		t.Fatalf("the newest: %+v, %v", g, err)
	}
	// That start was a commit, too.
	copy(disk.Data, newest)
	if _, err := Open(config); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("of before the last start: %v", err)
	}
}

// TestDegraded has the hardware TPM die under a manager and come back.
func TestDegraded(t *testing.T) {
	t.Parallel()
	tpm := &mortal{TPM: hardwareTPM(t)}
	m := newTestManager(t, tpm, blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	c := connect(t, m, Peer{Domain: 5, UUID: testUUID})
	if _, err := c.Load(); err != nil {
		t.Fatal(err)
	}
	tpm.dead.Store(true)
	if err := commit(c, 1, [32]byte{1}, [32]byte{2}); !errors.Is(err, proto.Failed) {
		t.Fatalf("commit: %v", err)
	}
	if s, err := admin.Status(); err != nil || !strings.HasPrefix(s["anchor"], "degraded: ") || !strings.HasPrefix(s["tpm"], "degraded: ") {
		t.Errorf("status: %q, %v", s, err)
	}
	tpm.dead.Store(false)
	g, err := c.Load()
	if err != nil || !g.Manufacture {
		t.Fatalf("the commit that failed: %+v, %v", g, err)
	}
	if err := commit(c, 1, [32]byte{1}, [32]byte{2}); err != nil {
		t.Fatalf("alive again: %v", err)
	}
	if s, err := admin.Status(); err != nil || s["anchor"] != "ok" || s["tpm"] != "ok" {
		t.Errorf("status: %q, %v", s, err)
	}
}

// A mortal TPM does not answer while it is dead.
type mortal struct {
	transport.TPM
	dead atomic.Bool
}

func (m *mortal) Send(b []byte) ([]byte, error) {
	if m.dead.Load() {
		return nil, errors.New("no answer")
	}
	return m.TPM.Send(b)
}

// A slow TPM takes a millisecond for each command.
type slow struct{ transport.TPM }

func (s slow) Send(b []byte) ([]byte, error) {
	time.Sleep(time.Millisecond)
	return s.TPM.Send(b)
}

// TestGroupCommit has many vTPMs commit at once: they share what is written.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	const vtpms, commits = 16, 5
	// A TPM with a time of its own: so commits do meet, whatever the scheduler.
	m := newTestManager(t, slow{hardwareTPM(t)}, blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	var all []*proto.Client
	for i := range vtpms {
		u := UUID{byte(i + 1)}
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
		c := connect(t, m, Peer{Domain: uint16(i + 1), UUID: u})
		if _, err := c.Load(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	before := m.store.Sequence()
	var wait sync.WaitGroup
	for _, c := range all {
		wait.Go(func() {
			for n := range uint64(commits) {
				if err := commit(c, n+1, [32]byte{byte(n)}, [32]byte{2}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := m.store.Sequence() - before; n >= vtpms*commits {
		t.Errorf("%d commits of vTPMs took %d of the ledger", vtpms*commits, n)
	} else {
		t.Logf("%d commits of vTPMs took %d of the ledger", vtpms*commits, n)
	}
}
