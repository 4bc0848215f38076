package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestListed: an approver sees its own groups and their vTPMs, the administrator
// all, others nothing.
func TestListed(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	approver := [32]byte(public(testApprover))
	a, _, err := admin.CreateGroup(&proto.Group{Name: "a", Approver: approver})
	if err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	if _, _, err := admin.CreateGroup(&proto.Group{Name: "b", Approver: [32]byte(public(other))}); err != nil {
		t.Fatal(err)
	}
	tenant := as(t, m, testApprover)
	if err := errors.Join(enroll(admin, UUID{1}), tenant.Enroll(&proto.Enrollment{UUID: UUID{2}, Group: a})); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key           ed25519.PrivateKey
		groups, vtpms int
	}{"the administrator": {testAdmin, 3, 2}, "a's approver": {testApprover, 1, 1}, "b's approver": {other, 1, 0}} {
		client := as(t, m, c.key)
		groups, err1 := client.Groups()
		vtpms, err2 := client.List()
		if err1 != nil || err2 != nil || len(groups) != c.groups || len(vtpms) != c.vtpms {
			t.Errorf("%s: %v, %v; %v, %v", name, groups, err1, vtpms, err2)
		}
	}
	if list, err := tenant.List(); err != nil || len(list) != 1 || list[0].UUID != (UUID{2}) || list[0].Group != a {
		t.Errorf("a's approver sees %v, %v", list, err)
	}
	stranger := as(t, m, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32)))
	if _, err := stranger.List(); !errors.Is(err, proto.Unsigned) {
		t.Errorf("vTPMs for a stranger: %v", err)
	}
	if _, err := stranger.Groups(); !errors.Is(err, proto.Unsigned) {
		t.Errorf("groups for a stranger: %v", err)
	}
}
