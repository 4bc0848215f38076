package service

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestQuiet: however many lines peers cause, the log has a bounded number, each
// kind and peer has lines of its own, and what was left out is counted.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var lines []string
	q := newLimitedLog(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) })
	now := time.Unix(1, 0)
	q.now = func() time.Time { return now }
	noisy, other := tpmif.Peer{Domain: 7}, tpmif.Peer{Domain: 8}
	const hour = 3600
	for s := range hour {
		now = time.Unix(1+int64(s), 0)
		for i := range 100 {
			q.Log("tpmif: %v: state %q", noisy, fmt.Sprint(i))
		}
		if s == hour/2 {
			q.Log("tpmif: %v: state %q", other, "99")
		}
	}
	if most := logBurst + hour/int(logInterval/time.Second) + 2; len(lines) > most {
		t.Errorf("%d lines in an hour, want at most %d", len(lines), most)
	}
	if all := strings.Join(lines, "\n"); !strings.Contains(all, "dom8/0") {
		t.Error("a quiet peer's line was lost among a noisy one's")
	} else if !strings.Contains(all, "similar lines were dropped") {
		t.Error("nothing says that lines were left out")
	}
	for i := range 100_000 {
		q.Log("serving domain %d", xen.DomID(i%32752))
	}
	if len(q.kinds) > maxLogKinds+1 {
		t.Errorf("%d kinds are kept", len(q.kinds))
	}
}

// counted counts lines.
type counted struct{ n atomic.Int64 }

func (c *counted) log(string, ...any) { c.n.Add(1) }

func (c *counted) count() int64 { return c.n.Load() }

// TestTenantHidesNothing: a tenant that renames its group all the time does not keep the
// console from saying that the administrator's key was changed, nor hides another tenant.
func TestTenantHidesNothing(t *testing.T) {
	t.Parallel()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := startupClear(d); err != nil {
		t.Fatal(err)
	}
	var lines []string
	limited := newLimitedLog(func(f string, a ...any) { lines = append(lines, fmt.Sprintf(f, a...)) })
	m, err := vtpmmgr.Initialize(vtpmmgr.Config{TPM: hardware{d}, Disk: blocktest.NewMem(512 << 10), Log: limited.Log, Mode: ledger.Mode{Daily: 54}},
		vtpmmgr.Setup{Admin: testAdmin.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	client := func(key ed25519.PrivateKey) *proto.Client {
		s, err := m.Open(vtpmmgr.Peer{})
		if err != nil {
			t.Fatal(err)
		}
		return &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: key}
	}
	admin := client(testAdmin)
	var groups [2]proto.Group
	var tenants [2]*proto.Client
	for i := range groups {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		groups[i] = proto.Group{Name: fmt.Sprint("tenant ", i), Approver: [32]byte(key.Public().(ed25519.PublicKey))}
		if groups[i].ID, _, err = admin.CreateGroup(&groups[i]); err != nil {
			t.Fatal(err)
		}
		tenants[i] = client(key)
	}
	for n := range 4 * logBurst {
		groups[0].Name = fmt.Sprint("name ", n)
		if err := tenants[0].AmendGroup(&groups[0]); err != nil {
			t.Fatal(err)
		}
	}
	groups[1].Name = "the other one"
	if err := errors.Join(tenants[1].AmendGroup(&groups[1]), admin.SetKey(proto.AdminKey, ed25519.NewKeyFromSeed(make([]byte, 32)))); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"administrator key", "the other one"} {
		if !strings.Contains(text, want) {
			t.Errorf("%d lines, none of them with %q", len(lines), want)
		}
	}
	if n := strings.Count(text, "name "); n > logBurst {
		t.Errorf("%d lines of one tenant", n)
	}
}
