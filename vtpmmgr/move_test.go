package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// challengeOf reads what an error asks a signature of.
func challengeOf(t *testing.T, err error) (c [32]byte) {
	t.Helper()
	_, text, ok := strings.Cut(err.Error(), "challenge ")
	if !ok || len(text) < 64 {
		t.Fatalf("no challenge: %v", err)
	}
	b, e := hex.DecodeString(text[:64])
	if e != nil {
		t.Fatal(e)
	}
	return [32]byte(b)
}

// TestMove has indices gone, made again by somebody, and worn out: with the
// administrator's signature the manager moves to new ones, once; all vTPMs are served, in a
// new epoch, and nothing of before is taken any more.
func TestMove(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(t *testing.T, v *victim){
		"extend index gone":       func(t *testing.T, v *victim) { ownerIndex(t, v.tpm, anchorHandle, false) },
		"counter gone":            func(t *testing.T, v *victim) { ownerIndex(t, v.tpm, counterHandle, false) },
		"extend index made again": func(t *testing.T, v *victim) { ownerIndex(t, v.tpm, anchorHandle, true) },
		"both gone": func(t *testing.T, v *victim) {
			ownerIndex(t, v.tpm, anchorHandle, false)
			ownerIndex(t, v.tpm, counterHandle, false)
		},
		"worn, so nothing is gone": func(t *testing.T, v *victim) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			first := bytes.Clone(v.disk.Data)
			attack(t, v)
			cfg := v.config(t)
			_, err := Open(cfg)
			worn := err == nil
			if worn {
				_, err = OpenMoved(cfg, nil)
				if !errors.Is(err, ErrMove) {
					t.Fatal(err)
				}
				first = bytes.Clone(v.disk.Data)
			} else if !errors.Is(err, hwtpm.ErrIndexGone) && !errors.Is(err, hwtpm.ErrIndexOther) {
				t.Fatal(err)
			}
			c := challengeOf(t, err)
			r, e := hwtpm.ReadRecord(v.disk)
			if e != nil {
				t.Fatal(e)
			}
			good := ed25519.Sign(testAdmin, proto.SignedMove(r.ID(), c))
			for who, signature := range map[string][]byte{
				"none": nil, "stranger": ed25519.Sign(testHost, proto.SignedMove(r.ID(), c)),
				"another moment": ed25519.Sign(testAdmin, proto.SignedMove(r.ID(), [32]byte{1})),
			} {
				if _, err := OpenMoved(cfg, signature); !errors.Is(err, ErrMove) || challengeOf(t, err) != c {
					t.Errorf("signature of %s: %v", who, err)
				}
			}
			// The order is for this ledger, not for an older one.
			old := bytes.Clone(v.disk.Data)
			copy(v.disk.Data, v.old)
			if _, err := OpenMoved(cfg, good); !errors.Is(err, ErrMove) {
				t.Errorf("for an older disk: %v", err)
			}
			copy(v.disk.Data, old)

			m, err := OpenMoved(cfg, good)
			if err != nil {
				t.Fatal(err)
			}
			if m.store.Epoch() < 2 {
				t.Errorf("epoch %d", m.store.Epoch())
			}
			v.served(t, m, UUID{1}, UUID{2}, UUID{3})
			now := bytes.Clone(v.disk.Data)
			for _, h := range []tpm2.TPMHandle{anchorHandle, counterHandle} {
				if _, err := (tpm2.NVReadPublic{NVIndex: h}).Execute(v.tpm); err == nil && !strings.Contains(name, "made again") {
					t.Errorf("old index %#x is left", uint32(h))
				}
			}
			for which, disk := range map[string][]byte{"of before the move": first, "an older one": v.old} {
				copy(v.disk.Data, disk)
				if _, err := Open(cfg); err == nil {
					t.Errorf("disk %s is taken", which)
				}
				if _, err := OpenMoved(cfg, good); !errors.Is(err, ErrMove) {
					t.Errorf("disk %s, with the order of before: %v", which, err)
				}
			}
			copy(v.disk.Data, now)
			if m, err = Open(cfg); err != nil {
				t.Fatalf("started again: %v", err)
			}
			v.served(t, m, UUID{1}, UUID{2}, UUID{3})
		})
	}
}

// TestMoveFirstDisk puts the very first disk back after the indices are gone: the
// new extend index does not begin as the old one did.
func TestMoveFirstDisk(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{}, {Daily: 54}, {Bounded: ledger.MaxBounded}} {
		v := newVictim(t)
		cfg := v.config(t)
		cfg.Mode = mode
		clear(v.disk.Data)
		m, err := Initialize(cfg, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Clone(v.disk.Data)
		if err := enroll(as(t, m, testAdmin), testUUID); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := hwtpm.ReadRecord(v.disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.tpm.Abandon(r); err != nil { // as an owner would
			t.Fatal(err)
		}
		copy(v.disk.Data, first)
		for range 2 {
			if m, err := OpenMoved(cfg, nil); !errors.Is(err, ErrMove) {
				t.Fatalf("%v: %v, %v", mode, m != nil, err)
			}
		}
	}
}

// TestMoveCut cuts the power at each command of a move: afterwards the order can be
// carried out, signed again if need be, and all is served.
func TestMoveCut(t *testing.T) {
	t.Parallel()
	step := 3
	if testing.Short() {
		step = 11
	}
	for at, done := 0, false; !done; at += step {
		v := newVictim(t)
		ownerIndex(t, v.tpm, anchorHandle, false)
		cfg := v.config(t)
		cfg.Log = nil
		_, err := Open(cfg)
		c := challengeOf(t, err)
		r, _ := hwtpm.ReadRecord(v.disk)
		sign := func(c [32]byte) []byte { return ed25519.Sign(testAdmin, proto.SignedMove(r.ID(), c)) }
		n := 0
		cut := cfg
		cut.TPM = transportFunc(func(b []byte) ([]byte, error) {
			if n++; n > at {
				return nil, errors.New("cut")
			}
			return v.tpm.Send(b)
		})
		_, err = OpenMoved(cut, sign(c))
		done = err == nil
		m, err := Open(cfg)
		for range 2 {
			if err == nil {
				break
			}
			if strings.Contains(err.Error(), "challenge ") {
				c = challengeOf(t, err)
			}
			m, err = OpenMoved(cfg, sign(c))
		}
		if err != nil {
			t.Fatalf("cut at command %d: %v", at, err)
		}
		v.served(t, m, UUID{1}, UUID{2}, UUID{3})
	}
}

// TestCounters8 has a chip with room for eight NV counters that are all used: a
// text of its own, and nothing left behind. When there is room, initializations
// that are cut off leave nothing either.
func TestCounters8(t *testing.T) {
	t.Parallel()
	chip := hardwareTPM(t)
	counters, used, limit, left := 0, 7, 8, -1
	bus := transportFunc(func(b []byte) ([]byte, error) {
		cc := tpm2.TPMCC(uint32(b[8])<<8 | uint32(b[9]))
		if left == 0 {
			return nil, errors.New("cut")
		}
		left--
		if cc == tpm2.TPMCCNVDefineSpace && bytes.HasSuffix(b, []byte{0, 8}) { // eight bytes: a counter
			if counters+used >= limit {
				return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x4B}, nil
			}
			counters++
		}
		r, err := chip.Send(b)
		if cc == tpm2.TPMCCNVUndefineSpace && err == nil && r[8] == 0 && r[9] == 0 && b[17]&1 == 1 {
			counters--
		}
		return r, err
	})
	cfg := Config{TPM: bus, Disk: blocktest.NewMem(testDisk)}
	for range 5 {
		// Cut off where the indices are made, again and again.
		for at := 10; at < 60; at += 7 {
			left = at
			if _, err := Initialize(cfg, testSetup()); err == nil {
				t.Fatal("not cut")
			}
		}
		left = -1
		if counters > 1 {
			t.Fatalf("%d counters are left behind", counters)
		}
	}
	if _, err := Initialize(cfg, testSetup()); err != nil {
		t.Fatal(err)
	}
	used = 8 - counters
	if _, err := Initialize(Config{TPM: bus, Disk: blocktest.NewMem(testDisk)}, testSetup()); !errors.Is(err, hwtpm.ErrNoRoom) {
		t.Fatalf("no room: %v", err)
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x01A57B00, PropertyCount: 64}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := r.CapabilityData.Data.Handles(); len(list.Handle) != 2 {
		t.Errorf("indices %x are there, want two", list.Handle)
	}
}

// TestOldIndices: where the hardware TPM does not remove the indices from before a
// move, or power goes before it is asked to, the disk of then is refused all the same.
func TestOldIndices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails  func(cc, handle uint32, moved bool) bool // commands that fail
		stays  bool                                     // the disk fits until a later start
		status string
	}{
		"removed at once":   {func(_, _ uint32, _ bool) bool { return false }, false, "ok"},
		"cannot be removed": {func(cc, _ uint32, _ bool) bool { return cc == 0x122 }, false, "ok"},
		"can be neither removed nor written": {func(cc, handle uint32, moved bool) bool {
			return cc == 0x122 || cc == 0x136 && moved && handle == uint32(anchorHandle)
		}, true, "degraded"},
		"the list of indices cannot be had": {func(cc, _ uint32, moved bool) bool { return cc == 0x17A && moved }, false, "ok"},
		"an index cannot be looked at, once": {func(cc, handle uint32, moved bool) bool {
			return cc == 0x169 && moved && handle == 0
		}, true, "degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			tap := &failingTPM{TPM: v.tpm}
			cfg := v.config(t)
			cfg.TPM = tap
			old := bytes.Clone(v.disk.Data)
			_, err := OpenMoved(cfg, nil)
			challenge := challengeOf(t, err)
			r, err := hwtpm.ReadRecord(v.disk)
			if err != nil {
				t.Fatal(err)
			}
			tap.fails = func(cc, handle uint32) bool {
				return c.fails(cc, handle, !bytes.Equal(v.disk.Data[:8<<10], old[:8<<10]))
			}
			m, err := OpenMoved(cfg, ed25519.Sign(testAdmin, proto.SignedMove(r.ID(), challenge)))
			if err != nil {
				t.Fatal(err)
			}
			if s := m.status(Peer{}); !strings.Contains(s, "old-indices "+c.status) {
				t.Errorf("STATUS:\n%s", s)
			}
			m.Close()
			tap.fails = nil
			if c.stays { // until the next start that can
				if m, err = Open(cfg); err != nil {
					t.Fatal(err)
				}
				if s := m.status(Peer{}); !strings.Contains(s, "old-indices ok") {
					t.Errorf("STATUS after a start:\n%s", s)
				}
				m.Close()
			}
			now := bytes.Clone(v.disk.Data)
			copy(v.disk.Data, old)
			if _, err := Open(cfg); err == nil {
				t.Error("the disk of before the move is taken")
			}
			copy(v.disk.Data, now)
			if _, err := Open(cfg); err != nil {
				t.Errorf("the disk of after the move: %v", err)
			}
		})
	}
}

// A failingTPM is a hardware TPM that fails some commands.
type failingTPM struct {
	transport.TPM
	fails func(cc, second uint32) bool // by command code and second handle
}

func (x *failingTPM) Send(b []byte) ([]byte, error) {
	second := append(bytes.Clone(b), make([]byte, 8)...)[14:]
	if x.fails != nil && x.fails(binary.BigEndian.Uint32(b[6:]), binary.BigEndian.Uint32(second)) {
		return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1}, nil
	}
	return x.TPM.Send(b)
}

// TestForkAfterMove: the disk of just before a move whose old indices could not be
// removed does not open, however often it is tried; and it takes nothing from the
// one of after the move, which removes them.
func TestForkAfterMove(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]ledger.Mode{"strict": {}, "budget": {Daily: 54}, "bounded": {Bounded: ledger.MaxBounded}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, starts := range []int{1, 3, 5} {
				forkAfterMove(t, mode, starts)
			}
		})
	}
}

func forkAfterMove(t *testing.T, mode ledger.Mode, starts int) {
	t.Helper()
	v := newVictim(t)
	tap := &failingTPM{TPM: v.tpm}
	cfg := v.config(t)
	cfg.TPM, cfg.Mode = tap, mode
	clear(v.disk.Data)
	m, err := Initialize(cfg, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := OpenMoved(cfg, nil); !errors.Is(err, ErrMove) {
		t.Fatal(err)
	}
	m, err = Open(cfg)
	if err != nil {
		t.Fatalf("before the order is given: %v", err)
	}
	m.Close()
	_, err = OpenMoved(cfg, nil)
	challenge, old := challengeOf(t, err), bytes.Clone(v.disk.Data)
	tap.fails = func(cc, _ uint32) bool { // as power that goes before the old indices are removed
		return (cc == 0x169 || cc == 0x17A) && !bytes.Equal(v.disk.Data[:8<<10], old[:8<<10])
	}
	if m, err = OpenMoved(cfg, ed25519.Sign(testAdmin, proto.SignedMove(m.id, challenge))); err != nil {
		t.Fatal(err)
	}
	m.Close()
	tap.fails = nil
	now := bytes.Clone(v.disk.Data)
	copy(v.disk.Data, old)
	for n := range starts {
		reset(t, v.tpm)
		if _, err := Open(cfg); err == nil {
			t.Fatalf("start %d of the disk of before the move: it is taken", n)
		}
	}
	copy(v.disk.Data, now)
	reset(t, v.tpm)
	if m, err = Open(cfg); err != nil {
		t.Fatalf("after %d starts of the disk of before the move: %v", starts, err)
	}
	if s := m.status(Peer{}); !strings.Contains(s, "old-indices ok") {
		t.Errorf("STATUS:\n%s", s)
	}
	m.Close()
	copy(v.disk.Data, old)
	if _, err := Open(cfg); err == nil {
		t.Error("the disk of before the move is taken")
	}
}
