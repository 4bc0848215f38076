package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/proto"
)

// TestRestoreOfAnotherGroup: whoever holds a group's approver's key and its
// escrow key, and so the group's own key, makes a backup of another group's vTPM.
// It is refused, and that vTPM is as it was.
func TestRestoreOfAnotherGroup(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	approvers := map[string]ed25519.PrivateKey{}
	groups := map[string]uint32{}
	for i, name := range []string{"attacker", "victim"} {
		private, err := escrow.Derive(bytes.Repeat([]byte{byte(0x30 + i)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		approvers[name] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(0x40 + i)}, 32))
		g := proto.Group{Name: name, Approver: [32]byte(public(approvers[name])), Escrow: private.Public()}
		id, _, err := admin.CreateGroup(&g)
		if err != nil {
			t.Fatal(err)
		}
		groups[name] = id
	}
	u := UUID{0x77}
	victim := as(t, m, approvers["victim"])
	if err := victim.Enroll(&proto.Enrollment{UUID: u, Group: groups["victim"]}); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 5, UUID: u}, 3)
	end()
	good, err := victim.Backup(u)
	if err != nil {
		t.Fatal(err)
	}

	before := m.records[u]
	attackers := m.group(groups["attacker"])
	for name, salt := range map[string][32]byte{"salt of the enrollment": [32]byte(good[backupSalt:]), "a salt of its own": {1}} {
		forged := before
		forged.group, forged.state.Sequence, forged.salt = attackers.ID, 9, salt
		forged.key = attackers.wrap(u, [32]byte{0xEE})
		b, err := attackers.backup(&forged, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := as(t, m, approvers["attacker"]).Restore(b); !errors.Is(err, proto.NoGroup) {
			t.Errorf("%s: %v", name, err)
		}
		if now := m.records[u]; now != before {
			t.Fatalf("%s: the record was changed", name)
		}
	}
	// One of the right group, its inner salt another's: it would close the door
	// to every backup that was made before.
	inner := before
	inner.salt = [32]byte{2}
	key, err := backupKey(m.group(groups["victim"]), before.salt)
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.Clone(good[:backupClear])
	state := [32]byte{0xEE}
	b := append(head, seal(key, append(inner.change().Body, state[:]...), "backup", head)...)
	if _, _, err := victim.Restore(b); !errors.Is(err, proto.BadBackup) {
		t.Errorf("another salt inside: %v", err)
	}
	if _, _, err := victim.Restore(good); err != nil {
		t.Errorf("the victim's own backup: %v", err)
	}
}
