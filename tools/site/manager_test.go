package site

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/proto"
)

// TestManager: a manager asks by its orders, the site admits it, and the manager takes
// the certificate.
func TestManager(t *testing.T) {
	t.Parallel()
	c, v := newChip(t), newVendor(t)
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	m, err := vtpmmgr.Initialize(vtpmmgr.Config{TPM: c, Disk: blocktest.NewMem(256 << 10), Log: t.Logf},
		vtpmmgr.Setup{Admin: key.Public().(ed25519.PublicKey), PCRs: []uint{0, 7}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(vtpmmgr.Peer{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	admin := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: key}
	request, err := admin.IdentityRequest([32]byte{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := identity.ParseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	ek := v.ek(t, r.EK, now.AddDate(10, 0, 0)).Raw

	dir := filepath.Join(t.TempDir(), "site")
	if err := Init(dir, "Example site", 10, func(dir string) (crypto.Signer, error) { return newFileKey(dir, nil) }, now); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, vendorsDir, "maker.pem"), pemOf(v.root.Raw))
	policy, err := json.Marshal(&Policy{ManagerImages: []string{strings.Repeat("0", 64)}, Months: 3, CRLDays: 30, PCRs: map[string][]string{"0": {}, "7": {}}, CRL: "http://pki.example/site.crl"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, policyFile), policy)
	at(t, dir, now, func(site *Site) {
		challenge, err := site.Challenge(request, ek)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := admin.IdentityAnswer(challenge)
		if err != nil {
			t.Fatal(err)
		}
		host, err := site.Certify(request, answer, ek)
		if err != nil {
			t.Fatal(err)
		}
		if err := admin.IdentityCertificate([][]byte{host, site.root.Raw}); err != nil {
			t.Error(err)
		}
	})
}
