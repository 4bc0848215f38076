package vtpmmgr

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A victim is a host with three vTPMs that have committed, and has ended.
type victim struct {
	tpm    transport.TPM
	disk   *blocktest.Mem
	old    []byte          // the disk before the last commits
	places map[UUID][]int  // sectors of a vTPM's record, by their offset
	last   map[UUID]uint64 // what was committed
}

// itemsAt is where the ledger's items begin: docs/ledger-format.md.
const itemsAt = hwtpm.Area + 40<<10 + 2*8<<10

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{tpm: hardwareTPM(t), disk: blocktest.NewMem(testDisk), places: map[UUID][]int{}, last: map[UUID]uint64{}}
	m := newTestManager(t, v.tpm, v.disk)
	admin := connect(t, m, Peer{})
	for n := range byte(3) {
		u := UUID{n + 1}
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
		c := connect(t, m, Peer{Domain: uint16(n) + 1, UUID: u})
		if _, err := c.Load(); err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(v.disk.Data)
		v.old = before
		for s := range uint64(3) { // into both slots
			if err := commit(c, s+1, [32]byte{n, byte(s)}, [32]byte{n + 1}); err != nil {
				t.Fatal(err)
			}
			v.last[u] = s + 1
		}
		for at := itemsAt; at < len(before); at += block.SectorSize {
			if !bytes.Equal(before[at:at+block.SectorSize], v.disk.Data[at:at+block.SectorSize]) {
				v.places[u] = append(v.places[u], at)
			}
		}
		if len(v.places[u]) != 2 {
			t.Fatalf("record of %v has %d sectors", u, len(v.places[u]))
		}
	}
	return v
}

func (v *victim) config(t *testing.T) Config { return Config{TPM: v.tpm, Disk: v.disk, Log: t.Logf} }

// served checks that vTPMs get what they committed last.
func (v *victim) served(t *testing.T, m *Manager, uuids ...UUID) {
	t.Helper()
	for _, u := range uuids {
		g, err := connect(t, m, Peer{Domain: 100 + uint16(u[0]), UUID: u}).Load()
		if err != nil || g.Manufacture || g.State.Sequence != v.last[u] || g.State.Key != [32]byte{u[0]} {
			t.Errorf("%v: sequence %d, manufacture %v, %v", u, g.State.Sequence, g.Manufacture, err)
		}
	}
}

// ownerIndex does something to one of the manager's NV indices as who has the
// owner's authorization.
func ownerIndex(t *testing.T, tpm transport.TPM, handle tpm2.TPMHandle, again bool) {
	t.Helper()
	r, err := tpm2.NVReadPublic{NVIndex: handle}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	named := tpm2.NamedHandle{Handle: handle, Name: r.NVName}
	if _, err := (tpm2.NVUndefineSpace{AuthHandle: owner, NVIndex: named}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	if !again {
		return
	}
	p, err := r.NVPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	p.Attributes.Written = false
	if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(*p)}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
}

// Handles of the first manager's NV indices on a new TPM (package hwtpm).
const (
	anchorHandle  tpm2.TPMHandle = 0x01A57B00
	counterHandle tpm2.TPMHandle = 0x01A57B01
)

// TestAttackStart puts before the manager's start what an attacker can put
// there: each is refused for its own reason. Where the TPM is whole, the disk that
// belongs to it serves all vTPMs afterwards as if nothing had been.
func TestAttackStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		attack func(t *testing.T, v *victim, cfg *Config)
		want   error
		final  bool // the hardware TPM was attacked: nothing brings it back
	}{
		{"old disk", func(_ *testing.T, v *victim, _ *Config) { copy(v.disk.Data, v.old) }, ledger.ErrRolledBack, false},
		{"old ledger under the newest root record", func(_ *testing.T, v *victim, _ *Config) {
			copy(v.disk.Data[hwtpm.Area:], v.old[hwtpm.Area:])
		}, ledger.ErrRolledBack, false},
		{"blank disk", func(_ *testing.T, v *victim, _ *Config) { clear(v.disk.Data) }, hwtpm.ErrUninitialized, false},
		{"root record edited", func(_ *testing.T, v *victim, _ *Config) {
			for at := 20; at < hwtpm.Area; at += 512 {
				v.disk.Data[at] ^= 1
			}
		}, hwtpm.ErrRecord, false},
		{"another host's disk", func(t *testing.T, v *victim, _ *Config) {
			copy(v.disk.Data, newVictim(t).disk.Data)
		}, hwtpm.ErrOtherTPM, false},
		{"another TPM", func(t *testing.T, _ *victim, cfg *Config) { cfg.TPM = hardwareTPM(t) }, hwtpm.ErrOtherTPM, false},
		{"ledger of another manager of the same TPM", func(t *testing.T, v *victim, _ *Config) {
			other := blocktest.NewMem(testDisk)
			newTestManager(t, v.tpm, other)
			copy(v.disk.Data[hwtpm.Area:], other.Data[hwtpm.Area:])
		}, ledger.ErrForeign, false},
		{"cleared TPM", func(t *testing.T, v *victim, _ *Config) {
			lockout := tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}
			if _, err := (tpm2.Clear{AuthHandle: lockout}).Execute(v.tpm); err != nil {
				t.Fatal(err)
			}
		}, hwtpm.ErrCleared, true},
		{"extend index deleted", func(t *testing.T, v *victim, _ *Config) {
			ownerIndex(t, v.tpm, anchorHandle, false)
		}, hwtpm.ErrIndexGone, true},
		{"extend index made again", func(t *testing.T, v *victim, _ *Config) {
			ownerIndex(t, v.tpm, anchorHandle, true)
		}, hwtpm.ErrIndexOther, true},
		{"counter deleted", func(t *testing.T, v *victim, _ *Config) {
			ownerIndex(t, v.tpm, counterHandle, false)
		}, hwtpm.ErrIndexGone, true},
		{"counter made again", func(t *testing.T, v *victim, _ *Config) {
			ownerIndex(t, v.tpm, counterHandle, true)
		}, hwtpm.ErrIndexOther, true},
		{"counter lower than it was", func(t *testing.T, v *victim, _ *Config) {
			m, err := Open(v.config(t))
			if err == nil {
				m.config.counter = 1 << 40 // as if it had been that
				err = m.store.Commit(m.config.changes()...)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, ErrCounter, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			newest := bytes.Clone(v.disk.Data)
			cfg := v.config(t)
			c.attack(t, v, &cfg)
			if _, err := Open(cfg); !errors.Is(err, c.want) {
				t.Fatalf("want %v, got %v", c.want, err)
			}
			if c.final {
				return
			}
			copy(v.disk.Data, newest)
			m, err := Open(v.config(t))
			if err != nil {
				t.Fatalf("the right disk afterwards: %v", err)
			}
			v.served(t, m, UUID{1}, UUID{2}, UUID{3})
		})
	}
}

// TestAttackRecords edits records on the disk, and swaps those of two vTPMs:
// whose record it is gets nothing, others all, and the status tells.
func TestAttackRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		attack  func(v *victim)
		damaged []UUID
		whole   []UUID
	}{
		{"edited", func(v *victim) {
			for _, at := range v.places[UUID{2}] {
				v.disk.Data[at+100] ^= 1
			}
		}, []UUID{{2}}, []UUID{{1}, {3}}},
		{"zeros", func(v *victim) {
			for _, at := range v.places[UUID{2}] {
				clear(v.disk.Data[at : at+block.SectorSize])
			}
		}, []UUID{{2}}, []UUID{{1}, {3}}},
		{"swapped between vTPMs", func(v *victim) {
			for i, a := range v.places[UUID{1}] {
				b := v.places[UUID{2}][i]
				tmp := bytes.Clone(v.disk.Data[a : a+block.SectorSize])
				copy(v.disk.Data[a:], v.disk.Data[b:b+block.SectorSize])
				copy(v.disk.Data[b:], tmp)
			}
		}, []UUID{{1}, {2}}, []UUID{{3}}},
		{"slots of one swapped: the record before the last", func(v *victim) {
			a, b := v.places[UUID{3}][0], v.places[UUID{3}][1]
			tmp := bytes.Clone(v.disk.Data[a : a+block.SectorSize])
			copy(v.disk.Data[a:], v.disk.Data[b:b+block.SectorSize])
			copy(v.disk.Data[b:], tmp)
		}, []UUID{{3}}, []UUID{{1}, {2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			c.attack(v)
			m, err := Open(v.config(t))
			if err != nil {
				t.Fatalf("damage of a record keeps all vTPMs out: %v", err)
			}
			v.served(t, m, c.whole...)
			for _, u := range c.damaged {
				if _, err := m.Open(Peer{Domain: 9, UUID: u}); !errors.Is(err, proto.Damaged) {
					t.Errorf("%v: %v", u, err)
				}
				// No new TPM takes its place, until the administrator says so.
				admin := connect(t, m, Peer{})
				if err := enroll(admin, u); !errors.Is(err, proto.Damaged) {
					t.Errorf("enroll %v: %v", u, err)
				}
			}
			if n := len(m.store.Damaged()); n != len(c.damaged) {
				t.Errorf("%d records are said to be damaged, not %d", n, len(c.damaged))
			}
			admin := connect(t, m, Peer{})
			if s, err := admin.Status(); err != nil || s["damaged"] != strconv.Itoa(len(c.damaged)) {
				t.Errorf("status: %q, %v", s, err)
			}
			for _, u := range c.damaged {
				if err := errors.Join(admin.Destroy(u), enroll(admin, u)); err != nil {
					t.Errorf("delete and enroll %v: %v", u, err)
				}
			}
		})
	}
}

// TestAttackPeer has a vTPM's domain send what it likes, and other domains ask
// for what is not theirs: the vTPM beside it gets and commits its own.
func TestAttackPeer(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	m, err := Open(v.config(t))
	if err != nil {
		t.Fatal(err)
	}
	quiet := connect(t, m, Peer{Domain: 2, UUID: UUID{2}})
	if _, err := quiet.Load(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(Peer{Domain: 7, UUID: UUID{2}}); !errors.Is(err, proto.Busy) {
		t.Errorf("the uuid of another: %v", err)
	}
	if _, err := m.Open(Peer{Domain: 7, UUID: UUID{77}}); !errors.Is(err, proto.NotEnrolled) {
		t.Errorf("a domain that nobody enrolled: %v", err)
	}
	hostile, err := m.Open(Peer{Domain: 1, UUID: UUID{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return hostile.Execute(b), nil }, Key: testAdmin}
	_, helloErr := c.Hello()
	_, statusErr := c.Status()
	for _, err := range []error{helloErr, statusErr} {
		if !errors.Is(err, proto.BadOrdinal) {
			t.Errorf("an order of a vTPM: %v", err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2)) // the same garbage each time
	refused := 0
	for n := range 3000 {
		body := make([]byte, r.IntN(120))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		message := body
		if n%2 == 0 { // whole, up to what it asks for
			ordinals := []proto.Ordinal{proto.Load, proto.Commit, proto.Random, proto.Enroll, proto.Destroy, 0, 0x53000005}
			message = proto.Message(proto.TagRequest, uint32(ordinals[r.IntN(len(ordinals))]), body)
		}
		tag, code, _, err := proto.Parse(hostile.Execute(message))
		if err != nil || tag != proto.TagResponse {
			t.Fatalf("answer to garbage: tag %#x, %v", tag, err)
		}
		if proto.Code(code) != proto.OK {
			refused++
		}
	}
	if refused < 2500 {
		t.Errorf("of 3000 garbage messages %d were refused", refused)
	}
	if err := commit(quiet, v.last[UUID{2}]+1, [32]byte{5}, [32]byte{2}); err != nil {
		t.Errorf("commit of the other: %v", err)
	}
	v.last[UUID{2}]++
	again, err := Open(v.config(t))
	if err != nil {
		t.Fatal(err)
	}
	v.served(t, again, UUID{1}, UUID{2}, UUID{3})
}

// TestAttackShared damages one after the other each item that is of no vTPM: no
// vTPM is harmed by that, and a start that writes the item repairs it. Both
// places of the configuration are too much.
func TestAttackShared(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	var others []int
	for at := itemsAt; at < len(v.disk.Data); at += 2 * block.SectorSize {
		pair := v.disk.Data[at : at+2*block.SectorSize]
		vtpm := false
		for _, places := range v.places {
			vtpm = vtpm || places[0] == at
		}
		if !vtpm && !bytes.Equal(pair, make([]byte, len(pair))) {
			others = append(others, at)
		}
	}
	// Twice the configuration and the first group; entries of the audit log:
	// initialize and three enrollments.
	if len(others) != 2+2+4 {
		t.Fatalf("%d items are of no vTPM", len(others))
	}
	for _, at := range others {
		before := bytes.Clone(v.disk.Data[at : at+2*block.SectorSize])
		clear(v.disk.Data[at : at+2*block.SectorSize])
		m, err := Open(v.config(t))
		if err != nil {
			t.Fatalf("item at %d: %v", at, err)
		}
		v.served(t, m, UUID{1}, UUID{2}, UUID{3})
		if n := len(m.store.Damaged()); n != 0 { // not repaired by the start: the disk is
			copy(v.disk.Data[at:], before)
		}
	}
	for _, at := range others {
		clear(v.disk.Data[at : at+2*block.SectorSize])
	}
	var d *ledger.Damage
	if _, err := Open(v.config(t)); !errors.As(err, &d) {
		t.Errorf("both: %v", err)
	}
}
