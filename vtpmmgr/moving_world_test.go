package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A transferHost is a host with a manager that a site has certified, and a group "mail" of the
// tests' approver.
type transferHost struct {
	t     *testing.T
	m     *Manager
	cfg   Config
	disk  *blocktest.Mem
	group uint32
}

func newTransferHost(t *testing.T, tpm transport.TPM, site *testSite, mode ledger.Mode, image byte) *transferHost {
	t.Helper()
	return newTransferHostOn(t, blocktest.NewMem(512<<10), tpm, site, mode, image)
}

func newTransferHostOn(t *testing.T, disk *blocktest.Mem, tpm transport.TPM, site *testSite, mode ledger.Mode, image byte) *transferHost {
	t.Helper()
	h := &transferHost{t: t, disk: disk}
	h.cfg = Config{TPM: tpm, Disk: h.disk, Mode: mode, Log: func(string, ...any) {}}
	var err error
	if h.m, err = Initialize(h.cfg, testSetup()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.m.Close() })
	admin := h.as(testAdmin)
	if h.group, _, err = admin.CreateGroup(&proto.Group{Name: "mail", Approver: [32]byte(public(testApprover))}); err != nil {
		t.Fatal(err)
	}
	h.certify(site, image)
	return h
}

// certify has a site certify the manager.
func (h *transferHost) certify(site *testSite, image byte) {
	h.t.Helper()
	admin := h.as(testAdmin)
	asked, err := admin.IdentityRequest([32]byte{image}, uint32(image))
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := identity.ParseRequest(asked)
	if err != nil {
		h.t.Fatal(err)
	}
	_, key, err := cert.ParsePublic(r.Certifier)
	if err != nil {
		h.t.Fatal(err)
	}
	claims := &cert.HostClaims{Manager: h.m.id, AK: nameOf(h.t, r.AK), Image: [32]byte{image}, SecurityVersion: uint32(image)}
	if err := admin.IdentityCertificate(site.certify(h.t, key, claims)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *transferHost) as(key ed25519.PrivateKey) *proto.Client {
	s, err := h.m.Open(Peer{Label: "dom0"})
	if err != nil {
		h.t.Fatal(err)
	}
	return &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: key}
}

// restart starts the manager again on its disk.
func (h *transferHost) restart() error {
	h.m.Close()
	m, err := Open(h.cfg)
	if err == nil {
		h.m = m
	}
	return err
}

// vtpm connects a vTPM's domain.
func (h *transferHost) vtpm(u UUID) (*proto.Client, func()) {
	s, err := h.m.Open(Peer{Domain: 9, UUID: u})
	if err != nil {
		h.t.Fatal(err)
	}
	return &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}, s.Close
}

// step has the manager do a step.
func (h *transferHost) step(s proto.MoveStep, u UUID, message []byte) ([]byte, error) {
	return h.as(testAdmin).Move(s, u, message)
}

func (h *transferHost) give(u UUID, message []byte) ([]byte, error) {
	return h.step(proto.MoveGive, u, message)
}

// loads reports whether the vTPM can be loaded, and how not.
func (h *transferHost) loads(u UUID) (g proto.Grant, err error) {
	s, err := h.m.Open(Peer{Domain: 9, UUID: u})
	if err != nil {
		return g, err
	}
	defer s.Close()
	return (&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}).Load()
}

// signOffer returns the order that the approver makes of an offer.
func signOffer(t testing.TB, offer []byte, key ed25519.PrivateKey) []byte {
	t.Helper()
	o, err := transfer.ParseOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	return (&transfer.Order{Signature: [64]byte(ed25519.Sign(key, o.Approval())), Offer: *o}).Append(nil)
}

// A transferWorld is two hosts of a site, with a vTPM at the first one that is frozen.
type transferWorld struct {
	t    *testing.T
	site *testSite
	a, b *transferHost
	u    UUID
	last uint64 // sequence of what it committed last

	request, offer, order, handover, answer, release []byte
}

func newTransferWorld(t *testing.T, mode ledger.Mode) *transferWorld {
	t.Helper()
	w := &transferWorld{t: t, site: newTestSite(t), u: testUUID}
	w.a = newTransferHost(t, hardwareTPM(t), w.site, mode, 3)
	w.b = newTransferHost(t, hardwareTPM(t), w.site, mode, 4)
	w.enroll(w.u)
	return w
}

// enroll makes a vTPM at the first host, and freezes it.
func (w *transferWorld) enroll(u UUID) {
	w.t.Helper()
	w.must(w.a.as(testApprover).Enroll(&proto.Enrollment{UUID: u, Group: w.a.group, Name: "mx"}))
	w.last = 3
	w.freeze(w.a, u, 3)
}

// freeze has the vTPM commit up to a sequence, the last of which is a suspended state, and
// ends its domain.
func (w *transferWorld) freeze(h *transferHost, u UUID, last uint64) {
	w.t.Helper()
	c, end := h.vtpm(u)
	defer end()
	g, err := c.Load()
	w.must(err)
	for n := g.State.Sequence + 1; n < last; n++ {
		w.must(c.Commit(testState(n)))
	}
	w.must(c.CommitFrozen(testState(last)))
}

func (w *transferWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// upTo runs the move up to a message: 'r'equest, 'o'ffer, 'O'rder, 'h'andover, 'a'nswer,
// 'R'elease, or to its 'e'nd.
func (w *transferWorld) upTo(what byte) *transferWorld {
	w.t.Helper()
	for _, s := range w.steps() {
		w.must(s.do())
		if s.name == what {
			break
		}
	}
	return w
}

type transferStep struct {
	name byte
	at   *transferHost
	do   func() error
}

// steps are those of a whole move.
func (w *transferWorld) steps() []transferStep {
	to := func(b *[]byte, h *transferHost, s proto.MoveStep, m *[]byte) func() error {
		return func() error {
			out, err := h.step(s, w.u, *m)
			if err == nil {
				*b = out
			}
			return err
		}
	}
	none := []byte(nil)
	return []transferStep{
		{'r', w.a, to(&w.request, w.a, proto.MoveRequest, &none)},
		{'o', w.b, to(&w.offer, w.b, proto.MoveGive, &w.request)},
		{'O', w.a, func() error { w.order = signOffer(w.t, w.offer, testApprover); return nil }},
		{'h', w.a, to(&w.handover, w.a, proto.MoveGive, &w.order)},
		{'a', w.b, to(&w.answer, w.b, proto.MoveGive, &w.handover)},
		{'R', w.a, to(&w.release, w.a, proto.MoveGive, &w.answer)},
		{'e', w.b, to(&none, w.b, proto.MoveGive, &w.release)},
	}
}

// back returns the world with the hosts the other way around.
func (w *transferWorld) back() *transferWorld {
	return &transferWorld{t: w.t, site: w.site, a: w.b, b: w.a, u: w.u, last: w.last}
}

// phase is what the manager has of the vTPM.
func (h *transferHost) phase(u UUID) transfer.Phase {
	st, err := (&mover{m: h.m, u: u}).Load()
	if err != nil {
		h.t.Fatal(err)
	}
	return st.Phase
}

// finish ends what is under way as an operator would, and returns how many copies of the vTPM
// can be loaded in the end.
func (w *transferWorld) finish() (live int) {
	w.t.Helper()
	for range 2 {
		for _, d := range [][2]*transferHost{{w.a, w.b}, {w.b, w.a}} {
			out, err := d[0].step(proto.MoveSourceAgain, w.u, nil)
			for i := 1; err == nil && len(out) != 0; i++ {
				out, err = d[i%2].give(w.u, out)
			}
			if out, err := d[0].step(proto.MoveTargetAgain, w.u, nil); err == nil && transfer.Kind(out[0]) == transfer.KindOffer {
				d[0].step(proto.MoveRefuse, w.u, out)
			}
		}
	}
	for _, h := range []*transferHost{w.a, w.b} {
		if _, err := h.loads(w.u); err == nil {
			live++
		} else if !errors.Is(err, proto.Moving) && !errors.Is(err, proto.NotEnrolled) {
			w.t.Errorf("load: %v", err)
		}
	}
	return live
}

// certificates has the vTPM at a host certified, and returns the serial numbers.
func (h *transferHost) certificates(u UUID, ek []byte) (serials []string) {
	h.t.Helper()
	c, end := h.vtpm(u)
	defer end()
	if _, err := c.Load(); err != nil {
		h.t.Fatal(err)
	}
	ders, err := c.Certify([][]byte{ek})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, der := range ders {
		crt, err := x509.ParseCertificate(der)
		if err != nil {
			h.t.Fatal(err)
		}
		claims, err := cert.VTPMClaimsOf(crt)
		if err != nil || claims.Manager != h.m.id {
			h.t.Fatalf("claims %+v, %v", claims, err)
		}
		serials = append(serials, crt.SerialNumber.Text(16))
	}
	return serials
}

func (h *transferHost) revoked() string {
	h.t.Helper()
	der, err := h.as(testAdmin).RevocationList()
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		h.t.Fatal(err)
	}
	var b bytes.Buffer
	for _, e := range list.RevokedCertificateEntries {
		fmt.Fprintln(&b, e.SerialNumber.Text(16))
	}
	return b.String()
}
