package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A disaster is a row of the table "What went wrong" in docs/admin.md: play has it
// happen and returns what the manager or its client says.
type disaster struct {
	says string
	play func(t *testing.T, v *victim) error
}

// opened starts the victim's manager.
func (v *victim) opened(t *testing.T) *Manager {
	t.Helper()
	m, err := Open(v.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// starts returns how a start of the manager ends, after something was done to it.
func starts(before func(t *testing.T, v *victim)) func(t *testing.T, v *victim) error {
	return func(t *testing.T, v *victim) error {
		before(t, v)
		_, err := Open(v.config(t))
		return err
	}
}

func changeAuth(t *testing.T, v *victim, h tpm2.TPMHandle) {
	t.Helper()
	if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: tpm2.AuthHandle{Handle: h, Auth: tpm2.PasswordAuth(nil)},
		NewAuth: tpm2.TPM2BAuth{Buffer: []byte("somebody's")}}).Execute(v.tpm); err != nil {
		t.Fatal(err)
	}
}

// domainOf is how a vTPM's domain connects after an order.
func domainOf(u UUID, order func(t *testing.T, m *Manager) error) func(t *testing.T, v *victim) error {
	return func(t *testing.T, v *victim) error {
		m := v.opened(t)
		if err := order(t, m); err != nil {
			t.Fatal(err)
		}
		_, err := m.Open(Peer{Domain: 9, UUID: u})
		return err
	}
}

var disasters = []disaster{
	{"PCRs are not those of the policy, nor approved by the operator", func(t *testing.T, v *victim) error {
		h := newMachine(t)
		return h.boot("unknown")
	}},
	{"the hardware TPM was cleared", starts(func(t *testing.T, v *victim) {
		if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(v.tpm); err != nil {
			t.Fatal(err)
		}
	})},
	{"not the one that holds the root key", starts(func(t *testing.T, v *victim) { v.tpm = hardwareTPM(t) })},
	{"the owner of the hardware TPM has a password", starts(func(t *testing.T, v *victim) { changeAuth(t, v, tpm2.TPMRHOwner) })},
	{"is gone from the hardware TPM", starts(func(t *testing.T, v *victim) { ownerIndex(t, v.tpm, anchorHandle, false) })},
	{"is not the one that was made", starts(func(t *testing.T, v *victim) { ownerIndex(t, v.tpm, anchorHandle, true) })},
	{"newer NV indices of this manager are there", starts(func(t *testing.T, v *victim) { cutMove(t, v.config(t), v.disk) })},
	{"the order to move to new NV indices is not signed by the administrator for this moment", func(t *testing.T, v *victim) error {
		_, err := OpenMoved(v.config(t), make([]byte, ed25519.SignatureSize))
		return err
	}},
	{"older than the hardware TPM's anchor", starts(func(t *testing.T, v *victim) { copy(v.disk.Data, v.old) })},
	{"ledger: is current, nothing to restore", func(t *testing.T, v *victim) error {
		m := v.opened(t)
		n, err := m.tpm.Counter()
		if err != nil {
			t.Fatal(err)
		}
		_, err = OpenRestored(v.config(t), ed25519.Sign(testAdmin, proto.SignedRestore(m.id, n)))
		return err
	}},
	{"the order to restore is not signed by the administrator for this moment", func(t *testing.T, v *victim) error {
		copy(v.disk.Data, v.old)
		_, err := OpenRestored(v.config(t), make([]byte, ed25519.SignatureSize))
		return err
	}},
	{"disk has no root record", starts(func(t *testing.T, v *victim) { clear(v.disk.Data) })},
	{"disk has a root record already", func(t *testing.T, v *victim) error {
		_, err := Initialize(v.config(t), testSetup())
		return err
	}},
	{"disk is not blank", func(t *testing.T, v *victim) error {
		clear(v.disk.Data)
		copy(v.disk.Data[1024:], "a file system")
		_, err := Initialize(v.config(t), testSetup())
		return err
	}},
	{"root record is malformed", starts(func(t *testing.T, v *victim) { v.disk.Data[100] ^= 1; v.disk.Data[32<<10+100] ^= 1 })},
	{"does not authenticate (torn write, tampering or wrong key)", starts(func(t *testing.T, v *victim) {
		for i := hwtpm.Area; i < hwtpm.Area+40<<10; i++ {
			v.disk.Data[i] ^= 1
		}
	})},
	{"approval is not signed by the operator", func(t *testing.T, v *victim) error {
		return connect(t, v.opened(t), Peer{}).Approve(&proto.Approval{Mask: 1, Values: make([]byte, 32)})
	}},
	{"challenge or certificate is not for the keys of this manager", func(t *testing.T, v *victim) error {
		return connect(t, v.opened(t), Peer{}).IdentityCertificate([][]byte{{1}})
	}},
	{"the disk is smaller than the ledger that is on it", starts(func(t *testing.T, v *victim) {
		m := v.opened(t)
		for n := range byte(10) { // more than fit
			if err := enroll(connect(t, m, Peer{}), UUID{100 + n}); err != nil {
				t.Fatal(err)
			}
		}
		v.disk = &blocktest.Mem{Data: v.disk.Data[:hwtpm.Area+ledger.MinArea]}
	})},
	{"PCR 15 changes with each commit", func(t *testing.T, v *victim) error {
		setup := testSetup()
		setup.PCRs = []uint{15}
		_, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk)}, setup)
		return err
	}},
	{"manager's disk or TPM failed", func(t *testing.T, v *victim) error {
		m := v.opened(t)
		v.disk.Hook = func() error { return errors.New("input/output error") }
		return enroll(connect(t, m, Peer{}), UUID{77})
	}},
	{"manager's disk is full", func(t *testing.T, v *victim) error {
		m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(hwtpm.Area + ledger.MinArea), Log: func(string, ...any) {}, Mode: ledger.Budget(ledger.DefaultEndurance, ledger.DefaultYears)}, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		admin := connect(t, m, Peer{})
		for n := range 10_000 {
			if err := enroll(admin, UUID{byte(n), byte(n >> 8), 1}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"not enrolled", func(t *testing.T, v *victim) error {
		_, err := v.opened(t).Open(Peer{Domain: 9, UUID: UUID{99}})
		return err
	}},
	{"suspended", domainOf(UUID{1}, func(t *testing.T, m *Manager) error { return connect(t, m, Peer{}).Suspend(UUID{1}) })},
	{"vTPM is being moved, or is at another manager", func(t *testing.T, _ *victim) error {
		w := newTransferWorld(t, ledger.Mode{}).upTo('h')
		return second(w.a.loads(w.u))
	}},
	{"step of the move is refused", func(t *testing.T, _ *victim) error {
		w := newTransferWorld(t, ledger.Mode{}).upTo('a')
		return second(w.b.step(proto.MoveRefuse, w.u, w.offer))
	}},
	{"domain's image was not measured", domainOf(UUID{1}, func(t *testing.T, m *Manager) error {
		return connect(t, m, Peer{}).Amend(&proto.Enrollment{UUID: UUID{1}, Image: [32]byte{1}})
	})},
	{"domain runs another image than its record names", domainOf(UUID{1}, func(t *testing.T, m *Manager) error {
		admin := connect(t, m, Peer{})
		return errors.Join(admin.Amend(&proto.Enrollment{UUID: UUID{1}, Image: [32]byte{1}}), admin.Measured(9, [32]byte{2}))
	})},
	{"start was not measured, as the vTPM's record requires", func(t *testing.T, v *victim) error {
		admin := connect(t, v.opened(t), Peer{})
		return errors.Join(admin.Amend(&proto.Enrollment{UUID: UUID{1}, Attested: true, Measured: true}), admin.Created(9, UUID{1}))
	}},
	{"starts a program that the vTPM's record does not list", func(t *testing.T, v *victim) error {
		admin := connect(t, v.opened(t), Peer{})
		return errors.Join(admin.Amend(&proto.Enrollment{UUID: UUID{1}, Attested: true, Measured: true, Programs: [][32]byte{{1}}}),
			admin.CreatedMeasured(9, UUID{1}, kernelB))
	}},
	{"record is damaged on the manager's disk", func(t *testing.T, v *victim) error {
		for _, at := range v.places[UUID{1}] {
			v.disk.Data[at+20] ^= 1
		}
		_, err := v.opened(t).Open(Peer{Domain: 9, UUID: UUID{1}})
		return err
	}},
	{"not signed by a key that may give this order", func(t *testing.T, v *victim) error {
		return as(t, v.opened(t), testHost).Suspend(UUID{1})
	}},
	{"above its share of the hardware TPM", func(t *testing.T, v *victim) error {
		c := connect(t, v.opened(t), Peer{Domain: 9, UUID: UUID{1}})
		if _, err := c.Load(); err != nil {
			t.Fatal(err)
		}
		for n := range uint64(5000) {
			if err := commit(c, v.last[UUID{1}]+1+n, [32]byte{1, byte(n)}, [32]byte{1}); err != nil {
				return err
			}
		}
		return nil
	}},
}

// TestDisasters plays each row of the table in docs/admin.md, and finds each one there:
// an operator looks for what the console says.
func TestDisasters(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, found := bytes.Cut(b, []byte("\n## What went wrong\n"))
	page, _, ended := bytes.Cut(page, []byte("\n## "))
	if !found || !ended {
		t.Fatal("docs/admin.md has no section \"What went wrong\"")
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| [^|]+ \\|$").FindAllSubmatch(page, -1) {
		rows[string(m[1])] = true
	}
	for _, d := range disasters {
		if !rows[d.says] {
			t.Errorf("docs/admin.md has no row for %q", d.says)
		}
		delete(rows, d.says)
		t.Run(d.says, func(t *testing.T) {
			t.Parallel()
			err := d.play(t, newVictim(t))
			if err == nil || !strings.Contains(err.Error(), d.says) {
				t.Errorf("it says: %v", err)
			}
		})
	}
	for says := range rows {
		t.Errorf("docs/admin.md has a row that nothing plays: %q", says)
	}
}
