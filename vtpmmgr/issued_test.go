package vtpmmgr

import (
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// An issuing is a manager whose every certificate is remembered: each must be of a vTPM
// that still has it, or revoked, whatever failed in between.
type issuing struct {
	t     *testing.T
	r     *rand.Rand
	disk  *writesLeft
	m     *Manager
	vtpms []*proto.Client // nil while not connected
	eks   [][]byte
	given map[string]UUID
	signs []byte // TPMT_PUBLIC of an attestation key

	tpm *slowSigner
}

func (i *issuing) uuid(n int) UUID { return UUID{0xCC, byte(n)} }

func (i *issuing) start() {
	var err error
	if i.m, err = Open(Config{TPM: i.tpm, Disk: i.disk, Log: func(string, ...any) {}}); err != nil {
		i.t.Fatal(err)
	}
	clear(i.vtpms)
}

// note remembers what was given out.
func (i *issuing) note(n int, ders ...[]byte) {
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			i.t.Fatal(err)
		}
		serial := c.SerialNumber.Text(16)
		if _, twice := i.given[serial]; twice {
			i.t.Fatalf("serial %s was given out twice", serial)
		}
		i.given[serial] = i.uuid(n)
	}
}

// step does one thing, which may fail.
func (i *issuing) step() {
	n := i.r.IntN(len(i.vtpms))
	admin := as(i.t, i.m, testAdmin)
	for _, s := range i.m.shares {
		*s = shares{}
	}
	switch i.r.IntN(10) {
	case 0:
		if admin.Destroy(i.uuid(n)) == nil {
			i.vtpms[n] = nil
		}
	case 1:
		if i.vtpms[n] == nil {
			if b, err := admin.Backup(i.uuid(n)); err == nil {
				admin.Restore(b)
			}
		}
	case 2:
		admin.Suspend(i.uuid(n))
		admin.Resume(i.uuid(n))
	case 3:
		enroll(admin, i.uuid(n))
	case 4, 5:
		if s, err := i.m.Open(Peer{Domain: uint16(10 + n), UUID: i.uuid(n)}); err == nil {
			c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
			if g, err := c.Load(); err == nil && (g.State.Sequence > 0 || commit(c, 1, [32]byte{1}, [32]byte{2}) == nil) {
				i.vtpms[n] = c
			}
		}
	case 6, 7, 8:
		if c := i.vtpms[n]; c != nil {
			if ders, err := c.Certify(i.eks[n : n+1]); err == nil {
				i.note(n, ders...)
			}
		}
	default:
		if c := i.vtpms[n]; c != nil {
			if der, err := c.CertifyAK(i.signs); err == nil {
				i.note(n, der)
			}
		}
	}
}

// check looks for each certificate in what the ledger has.
func (i *issuing) check(when int) {
	var have []string
	add := func(s *serials) {
		for k := range s.count {
			number := s.number(k)
			have = append(have, new(big.Int).SetBytes(number[:]).Text(16))
		}
	}
	for _, c := range i.m.certified {
		add(&c.serials)
	}
	for k := range i.m.revoked.list {
		add(&i.m.revoked.list[k].serials)
	}
	slices.Sort(have)
	for serial, u := range i.given {
		if _, found := slices.BinarySearch(have, serial); !found {
			i.t.Fatalf("step %d: certificate %s of %v could not be revoked", when, serial, u)
		}
	}
}

// TestIssued: no certificate is ever out of reach of a revocation, with a disk that fails at
// any write, and starts in between.
func TestIssued(t *testing.T) {
	t.Parallel()
	steps := 4000
	if testing.Short() {
		steps = 300
	}
	i := &issuing{t: t, r: rand.New(rand.NewPCG(3, 4)), disk: &writesLeft{blocktest.NewMem(1 << 20), -1}, tpm: &slowSigner{TPM: hardwareTPM(t)},
		vtpms: make([]*proto.Client, 4), given: map[string]UUID{}}
	for range i.vtpms {
		i.eks = append(i.eks, primary(t, hardwareTPM(t), tpm2.ECCEKTemplate))
	}
	i.signs = primary(t, hardwareTPM(t), restrictedSigner())
	m, err := Initialize(Config{TPM: i.tpm, Disk: i.disk, Log: func(string, ...any) {}}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	i.m = m
	if _, err := as(t, m, testAdmin).IdentityRequest([32]byte{7}, 1); err != nil {
		t.Fatal(err)
	}
	for n := range steps {
		if i.r.IntN(6) == 0 {
			i.disk.n = i.r.IntN(40)
		}
		i.step()
		i.disk.n = -1
		if err := i.m.settle(); err != nil {
			t.Fatal(err)
		}
		if i.r.IntN(25) == 0 {
			i.start()
		}
		i.check(n)
	}
	t.Logf("%d certificates, %d vTPMs revoked", len(i.given), len(i.m.revoked.list))
	if len(i.given) < steps/20 || len(i.m.revoked.list) < steps/100 {
		t.Error("hardly anything happened")
	}
}
