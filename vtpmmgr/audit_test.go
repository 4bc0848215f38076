package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// events reads and verifies one of the audit logs.
func events(t *testing.T, m *Manager, log proto.AuditLog) (all []string) {
	t.Helper()
	admin := connect(t, m, Peer{})
	hello, err := admin.Hello()
	if err != nil {
		t.Fatal(err)
	}
	h, entries, err := admin.Audit(log, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.VerifyAudit(hello.Audit[:], &h, entries); err != nil {
		t.Error(err)
	}
	h.Log = 1 - h.Log
	if err := proto.VerifyAudit(hello.Audit[:], &h, entries); err == nil {
		t.Errorf("the %v log passes for the other one", log)
	}
	for _, b := range entries {
		e, err := proto.ParseAuditEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Event)
	}
	return all
}

// TestAuditOfTenants: what the administrator did is in the audit log however much a tenant
// orders for a day, on a small disk and on a large one, and what the tenant did last is in
// the other log. A restart keeps both.
func TestAuditOfTenants(t *testing.T) {
	for _, size := range []int{256 << 10, 23 << 20} {
		t.Run(fmt.Sprint(size>>10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(size), Mode: ledger.Mode{Daily: 54}}
				m, err := Initialize(cfg, testSetup())
				if err != nil {
					t.Fatal(err)
				}
				id, tenant := newTenant(t, m)
				admin := connect(t, m, Peer{})
				if err := admin.SetKey(proto.HostKey, testHost); err != nil {
					t.Fatal(err)
				}
				e := proto.Enrollment{UUID: UUID{7}, Group: id}
				if err := tenant.Enroll(&e); err != nil {
					t.Fatal(err)
				}
				ring := int(m.config.audit[proto.TenantLog].ring)
				for orders := 0; orders < 2*ring+5; {
					err := tenant.Amend(&e)
					switch {
					case errors.Is(err, proto.Rate):
						time.Sleep(time.Minute)
					case err != nil:
						t.Fatal(err)
					default:
						orders++
					}
				}
				want := []string{"initialize", "create group", "host key"}
				for _, event := range [][]string{nil, {"start"}} {
					want = append(want, event...)
					if got := events(t, m, proto.ManagerLog); !slices.Equal(got, want) {
						t.Errorf("the manager's log: %q, want %q", got, want)
					}
					if got := events(t, m, proto.TenantLog); len(got) != ring || slices.ContainsFunc(got, func(e string) bool { return e != "amend" }) {
						t.Errorf("the tenants' log: %d entries of %d: %q", len(got), ring, got)
					}
					m.Close()
					if m, err = Open(cfg); err != nil {
						t.Fatal(err)
					}
				}
				m.Close()
			})
		})
	}
}

// TestConfigVersions: the items of earlier versions are read, and keep the audit log.
func TestConfigVersions(t *testing.T) {
	t.Parallel()
	want := config{admin: [32]byte{1}, host: [32]byte{2}, counter: 3, boot: 4}
	want.audit[proto.ManagerLog] = auditEnd{ring: 34, next: 50, hash: [32]byte{5}}
	want.audit[proto.TenantLog].ring = 17
	b := want.changes()[0].Body
	for version, size := range map[byte]int{1: 118, 2: 126, 3: configSize} {
		old := bytes.Clone(b[:size])
		old[1] = version
		w := want
		if version == 1 {
			w.boot = 0
		}
		if got, err := decodeConfig(old); err != nil || got != w {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
		for _, bad := range [][]byte{old[:size-1], append(bytes.Clone(old), 0), nil, {kindConfig}} {
			if _, err := decodeConfig(bad); err == nil {
				t.Errorf("version %d: %d bytes were taken", version, len(bad))
			}
		}
	}
}

// TestRecoverOnce: an operator's signature replaces the administrator's key once, also if
// the same key is the administrator's and is lost again.
func TestRecoverOnce(t *testing.T) {
	t.Parallel()
	operator := operatorKey(t)
	setup := testSetup()
	setup.Operator = &operator.PublicKey
	cfg := Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk)}
	m, err := Initialize(cfg, setup)
	if err != nil {
		t.Fatal(err)
	}
	second := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x62}, 32))
	sign := func() (sig [64]byte) {
		status, err := connect(t, m, Peer{}).Status()
		if err != nil {
			t.Fatal(err)
		}
		var number uint64
		fmt.Sscan(status["admin-number"], &number)
		digest := sha256.Sum256(proto.SignedRecovery(m.id, m.config.admin, number, [32]byte(public(second))))
		r, s, err := ecdsa.Sign(rand.Reader, operator, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig
	}
	first := sign()
	if err := as(t, m, second).Recover(first); err != nil {
		t.Fatal(err)
	}
	// The first key is found again, and the second one is lost.
	if err := as(t, m, second).SetKey(proto.AdminKey, testAdmin); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := as(t, m, second).Recover(first); !errors.Is(err, proto.Unsigned) {
			t.Errorf("the same signature again: %v", err)
		}
		m.Close()
		if m, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if err := as(t, m, second).Recover(sign()); err != nil {
		t.Errorf("a new signature: %v", err)
	}
	if n := m.config.adminNumber; n != 3 {
		t.Errorf("the key was replaced 3 times, and has number %d", n)
	}
}
