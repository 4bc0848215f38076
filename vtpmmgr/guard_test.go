package vtpmmgr

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestSetGuard: a weaker mode is the administrator's order, and in the audit log; a
// start with a word cannot have it.
func TestSetGuard(t *testing.T) {
	t.Parallel()
	cfg := Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Log: t.Logf}
	m, err := Initialize(cfg, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	if m.store.Mode() != (ledger.Mode{}) {
		t.Fatalf("mode is %v", m.store.Mode())
	}
	bounded := ledger.Mode{Bounded: time.Minute}
	if err := as(t, m, testHost).SetGuard(bounded.Numbers()); !errors.Is(err, proto.Unsigned) {
		t.Errorf("order of a stranger: %v", err)
	}
	admin := connect(t, m, Peer{})
	for _, bad := range []struct {
		kind      uint32
		parameter uint64
	}{{0, 1}, {1, 0}, {1, uint64(ledger.MaxBounded) + 1}, {2, 0}, {2, ledger.MaxDaily + 1}, {3, 1}, {1, 1 << 63}} {
		if err := admin.SetGuard(bad.kind, bad.parameter); !errors.Is(err, proto.BadMessage) {
			t.Errorf("mode %d, %d: %v", bad.kind, bad.parameter, err)
		}
	}
	if err := admin.SetGuard(bounded.Numbers()); err != nil || m.store.Mode() != bounded {
		t.Fatalf("mode is %v after the order, %v", m.store.Mode(), err)
	}
	log := m.auditLog(proto.ManagerLog, 0, [32]byte{})
	if !strings.Contains(string(log), "weaker guard") || !strings.Contains(string(log), "bounded=1m0s, was strict") {
		t.Error("the order is not in the audit log")
	}
	// The mode outlives a start; a word that asks for less is not taken, one that
	// asks for more is.
	cfg.Mode = ledger.Mode{Bounded: time.Hour}
	if m, err = Open(cfg); err != nil || m.store.Mode() != bounded {
		t.Fatalf("guard=1h: mode is %v, %v", m.store.Mode(), err)
	}
	cfg.Mode = ledger.Mode{}
	if m, err = Open(cfg); err != nil || m.store.Mode() != (ledger.Mode{}) {
		t.Fatalf("guard=strict: mode is %v, %v", m.store.Mode(), err)
	}
}
