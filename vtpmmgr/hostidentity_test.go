package vtpmmgr

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/ledger"
)

func testIdentity(fill byte, chain int) *hostIdentity {
	h := &hostIdentity{auth: [32]byte(bytes.Repeat([]byte{fill}, 32)), policy: identity.Policy{PCRs: []uint{0, 7}, Values: bytes.Repeat([]byte{fill}, 64)},
		storageName: bytes.Repeat([]byte{fill}, 34), ak: identity.Key{Public: bytes.Repeat([]byte{fill}, 120), Private: bytes.Repeat([]byte{fill}, 190)},
		certifier: identity.Key{Public: bytes.Repeat([]byte{fill}, 120), Private: bytes.Repeat([]byte{fill}, 190)}, certificate: bytes.Repeat([]byte{fill}, 800)}
	for range chain {
		h.chain = append(h.chain, bytes.Repeat([]byte{fill}, 700))
	}
	return h
}

func putIdentity(t *testing.T, m *Manager, h *hostIdentity) error {
	t.Helper()
	changes, err := h.changes(m.identity)
	if err != nil {
		t.Fatal(err)
	}
	return m.store.CommitAs(ledger.Class{}, changes...)
}

// TestIdentityCut cuts the power at every write of an identity that takes the
// place of another: the manager then has the one or the other, whole. A ledger
// without one opens, and has none.
func TestIdentityCut(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][2]int{{0, 4}, {4, 0}} { // more parts, fewer parts
		tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
		m := newTestManager(t, tpm, disk)
		if m.identity != nil {
			t.Fatal("an identity that nobody made")
		}
		old := testIdentity(1, sizes[0])
		if err := putIdentity(t, m, old); err != nil {
			t.Fatal(err)
		}
		cuts := 0
		for at := 0; ; at++ {
			again, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
			if err != nil {
				t.Fatalf("cut %d: %v", at, err)
			}
			if again.noIdentity != nil || !reflect.DeepEqual(again.identity, old) {
				t.Fatalf("cut %d: %v", at, again.noIdentity)
			}
			n := 0
			disk.Hook = func() error {
				if n++; n > at {
					return errors.New("power cut")
				}
				return nil
			}
			next := testIdentity(byte(at+2), sizes[1])
			err = putIdentity(t, again, next)
			disk.Hook = nil
			last, openErr := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
			if openErr != nil {
				t.Fatalf("cut %d: %v", at, openErr)
			}
			isNew := reflect.DeepEqual(last.identity, next)
			if !isNew && !reflect.DeepEqual(last.identity, old) {
				t.Fatalf("cut %d: neither the old nor the new identity", at)
			}
			if err == nil {
				if !isNew {
					t.Fatal("acknowledged, and gone")
				}
				break
			}
			cuts++
			if isNew {
				old = next
			}
		}
		if cuts == 0 {
			t.Fatal("the power was never cut")
		}
	}
}

// TestIdentityDamage: a part that is damaged in one place is read from the
// other; in both the manager opens without an identity, and says why.
func TestIdentityDamage(t *testing.T) {
	t.Parallel()
	items := map[ledger.ID][]byte{}
	changes, err := testIdentity(3, 2).changes(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		items[c.ID] = c.Body
	}
	get := func(id ledger.ID) ([]byte, error) {
		if b, ok := items[id]; ok {
			return b, nil
		}
		return nil, ledger.ErrNotFound
	}
	for part := range len(changes) / 2 {
		ids := identityItems(part)
		first, second := items[ids[0]], items[ids[1]]
		delete(items, ids[0])
		if h, err := readIdentity(get); err != nil || h == nil {
			t.Errorf("part %d, one place: %v", part, err)
		}
		if part > 0 {
			delete(items, ids[1])
			if _, err := readIdentity(get); err == nil {
				t.Errorf("part %d, both places: no error", part)
			}
		}
		items[ids[0]], items[ids[1]] = first, second
	}
	if _, err := testIdentity(1, 12).changes(nil); !errors.Is(err, errIdentitySize) {
		t.Errorf("too large: %v", err)
	}
}

func FuzzIdentity(f *testing.F) {
	for _, chain := range []int{0, 2} {
		b, err := testIdentity(1, chain).encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeIdentity(b)
		if err != nil {
			return
		}
		if again, err := h.encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}
