package vtpmmgr

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestNames: the names that a tenant gives make no lines of their own on the console and
// carry no control characters to whoever reads lists and the audit log. They are refused,
// and what a manager of an earlier version took is made visible.
func TestNames(t *testing.T) {
	t.Parallel()
	const forged = "x\r\nvtpmmgr: administrator key 0000\x1b[2J\x00"
	var mu sync.Mutex
	var lines []string
	log := func(f string, a ...any) { mu.Lock(); defer mu.Unlock(); lines = append(lines, fmt.Sprintf(f, a...)) }
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Log: log}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	id, tenant := newTenant(t, m)
	for _, name := range []string{forged, "a\u202eb", "a\xffb", "deadbeef"} {
		g := proto.Group{ID: id, Name: name, Approver: m.group(id).Approver}
		if err := tenant.AmendGroup(&g); !errors.Is(err, proto.BadMessage) {
			t.Errorf("group %q: %v", name, err)
		}
		g = proto.Group{Name: name}
		if _, _, err := connect(t, m, Peer{}).CreateGroup(&g); !errors.Is(err, proto.BadMessage) {
			t.Errorf("new group %q: %v", name, err)
		}
		if name == "deadbeef" {
			continue // a name for a vTPM
		}
		if err := tenant.Enroll(&proto.Enrollment{UUID: UUID{1}, Group: id, Name: name}); !errors.Is(err, proto.BadMessage) {
			t.Errorf("vTPM %q: %v", name, err)
		}
	}
	m.group(id).Name = forged // as of an earlier version
	for n := range 2 {
		if err := tenant.Enroll(&proto.Enrollment{UUID: UUID{byte(n)}, Group: id, Name: "Büro"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := connect(t, m, Peer{}).SetQuota(id, 7); err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if !proto.Printable(l) {
			t.Errorf("the console has %q", l)
		}
	}
	_, entries, err := connect(t, m, Peer{}).Audit(proto.ManagerLog, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range entries {
		if e, err := proto.ParseAuditEntry(b); err != nil || !proto.Printable(e.Detail) {
			t.Errorf("the audit log has %q, %v", e.Detail, err)
		}
	}
	if len(lines) == 0 || !strings.Contains(strings.Join(lines, "\n"), `\u001b[2J`) {
		t.Error("the console has nothing of the group")
	}
}
