package service

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A life is a guest from its creation to its end, also over a save and a restore,
// which gives it another domain.
type life struct {
	number int
	domain xen.DomID
	told   bool // that it was created
	met    bool // it had a TPM
}

// A guestWorld is a manager, a vTPM and guests that come and go.
type guestWorld struct {
	t        *testing.T
	r        *rand.Rand
	attested bool

	hw      hardware
	cfg     vtpmmgr.Config
	m       *vtpmmgr.Manager
	session *vtpmmgr.Session
	device  *vtpm.Device
	h       *guestHandler

	conn  tpmif.Conn
	guest *life
	lives int

	told    []byte    // the order that told of the last creation
	pending xen.DomID // told as created, and without its TPM so far

	fail, lose bool // the next request of the vTPM, or its answer
	sure       bool // nothing has failed since the guest's creation was told
}

var testHostKey = ed25519.NewKeyFromSeed([]byte("the host's key, of 32 bytes here"))

func newGuestWorld(t *testing.T, seed uint64, attested bool) *guestWorld {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	w := &guestWorld{t: t, r: rand.New(rand.NewPCG(seed, 5)), attested: attested, hw: hardware{d}}
	w.resetHardware()
	w.cfg = vtpmmgr.Config{TPM: w.hw, Disk: blocktest.NewMem(512 << 10), Log: func(string, ...any) {},
		Mode: ledger.Budget(ledger.DefaultEndurance, ledger.DefaultYears)}
	w.m, err = vtpmmgr.Initialize(w.cfg, vtpmmgr.Setup{Admin: testAdmin.Public().(ed25519.PublicKey), Host: testHostKey.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.order(testAdmin).Enroll(&proto.Enrollment{UUID: campaignUUID, Attested: attested}); err != nil {
		t.Fatal(err)
	}
	if w.device, err = vtpm.Manufacture(vtpm.Config{Store: noStore{}}); err != nil {
		t.Fatal(err)
	}
	w.connectManager()
	w.startVTPM()
	w.create(true)
	return w
}

func (w *guestWorld) resetHardware() {
	w.hw.d.Init()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(w.hw); err != nil {
		w.t.Fatal(err)
	}
}

// order returns dom0's client.
func (w *guestWorld) order(key ed25519.PrivateKey) *proto.Client {
	s, err := w.m.Open(vtpmmgr.Peer{})
	if err != nil {
		w.t.Fatal(err)
	}
	return &proto.Client{Transact: func(b []byte) ([]byte, error) {
		if _, o, _, _ := proto.Parse(b); proto.Ordinal(o) == proto.Created {
			w.told = b
		}
		return s.Execute(b), nil
	}, Key: key}
}

// client is the vTPM's, as reliable as the world is.
func (w *guestWorld) client() *proto.Client {
	return &proto.Client{Transact: func(b []byte) ([]byte, error) {
		if w.fail {
			w.fail = false
			return nil, errLink
		}
		answer := w.session.Execute(b)
		if w.lose {
			w.lose = false
			return nil, errLink
		}
		return answer, nil
	}}
}

func (w *guestWorld) connectManager() {
	var err error
	if w.session, err = w.m.Open(vtpmmgr.Peer{Domain: 100, UUID: campaignUUID}); err != nil {
		w.t.Fatal(err)
	}
	w.fail, w.lose = false, false
	if _, err := w.client().Load(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *guestWorld) restartManager() {
	w.t.Helper()
	w.openManager()
	w.sure = false
	w.linkAgain()
}

func (w *guestWorld) openManager() {
	w.t.Helper()
	w.m.Close()
	var err error
	if w.m, err = vtpmmgr.Open(w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

// linkAgain connects the vTPM to the manager again, as package service does.
func (w *guestWorld) linkAgain() {
	w.t.Helper()
	w.connectManager()
	if last := w.h.last.Load(); last != nil && *last == w.guest.domain {
		w.sure = false // the vTPM tells of a domain that had the same number
	}
	if err := w.h.reportGuest(w.client()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *guestWorld) startVTPM() {
	w.conn = nil
	w.device.Init()
	w.h = &guestHandler{device: w.device, log: func(string, ...any) {}, manager: w.client(), uuid: campaignUUID, attested: w.attested, clean: true}
	if err := startupClear(w.h.device); err != nil {
		w.t.Fatal(err)
	}
}

// number returns a domain's number. They are few, so that they come back soon; but not
// that of a creation that is still to be used: docs/xen-life.md says what that gives up.
func (w *guestWorld) number() xen.DomID {
	for {
		if n := xen.DomID(1 + w.r.IntN(4)); n != w.pending {
			return n
		}
	}
}

// create begins a life.
func (w *guestWorld) create(tell bool) {
	w.disconnect()
	w.lives++
	w.guest = &life{number: w.lives, domain: w.number()}
	if tell {
		if err := w.order(testHostKey).Created(uint16(w.guest.domain), campaignUUID); err != nil {
			w.t.Fatal(err)
		}
		w.guest.told, w.sure, w.pending = true, true, w.guest.domain
	}
}

// replay sends the order that told of the last creation once more.
func (w *guestWorld) replay() error {
	s, err := w.m.Open(vtpmmgr.Peer{})
	if err != nil {
		return err
	}
	s.Execute(proto.Message(proto.TagAdmin, uint32(proto.Hello), nil))
	_, code, _, err := proto.Parse(s.Execute(w.told))
	if err == nil && proto.Code(code) != proto.Unsigned {
		err = fmt.Errorf("a replayed order: %v", proto.Code(code))
	}
	return err
}

func (w *guestWorld) disconnect() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

func (w *guestWorld) pcr(n uint) string {
	v, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(n)}}}}.Execute(connTPM{w.conn})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(v.PCRValues.Digests[0].Buffer)
}

type connTPM struct{ c tpmif.Conn }

func (c connTPM) Send(b []byte) ([]byte, error) { return c.c.Execute(0, b), nil }

// connect connects the guest, and looks at what it finds.
func (w *guestWorld) connect() error {
	w.disconnect()
	last := w.h.last.Load()
	same := last != nil && *last == w.guest.domain
	var err error
	if w.conn, err = w.h.Open(tpmif.Peer{Domain: w.guest.domain, UUID: proto.UUID(campaignUUID).String()}); err != nil {
		if !errors.Is(err, tpmif.ErrLater) {
			return fmt.Errorf("refused: %w", err)
		}
		w.conn, w.sure = nil, false
		return nil
	}
	zero := string(make([]byte, 32))
	fresh := w.pcr(0) == zero && w.pcr(8) == zero
	switch {
	case fresh && w.guest.met:
		return fmt.Errorf("life %d, in domain %d, finds fresh PCRs in the middle", w.guest.number, w.guest.domain)
	case fresh && !w.guest.told && w.attested:
		return fmt.Errorf("life %d, of whose creation nobody told, finds fresh PCRs", w.guest.number)
	case !fresh && w.guest.told && !w.guest.met && w.sure && !same:
		return fmt.Errorf("life %d was told of, and finds PCRs that are not those of a start", w.guest.number)
	}
	if w.guest.met = true; w.guest.domain == w.pending {
		w.pending = 0
	}
	// What a boot measures.
	if _, err := (tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 8, Auth: tpm2.PasswordAuth(nil)}, Digests: tpm2.TPMLDigestValues{
		Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}).Execute(connTPM{w.conn}); err != nil {
		return err
	}
	return nil
}

// oldGuestBack has a guest be created while the one that had the TPM last connects once
// more, as one does that runs another kernel.
func (w *guestWorld) oldGuestBack() error {
	last := w.h.last.Load()
	w.create(true)
	if last == nil || *last == w.guest.domain {
		return nil
	}
	conn, err := w.h.Open(tpmif.Peer{Domain: *last, UUID: proto.UUID(campaignUUID).String()})
	if errors.Is(err, tpmif.ErrLater) {
		w.sure = false
		return nil
	}
	if err == nil {
		conn.Close()
	}
	return err
}

func (w *guestWorld) step() (what string, err error) {
	switch w.r.IntN(16) {
	case 0, 1:
		w.create(true)
		return "created", nil
	case 2:
		w.create(false)
		return "created, not told", nil
	case 3:
		if !w.attested {
			return "", nil // docs/xen-life.md says what a record that is not attested gives up
		}
		w.disconnect()
		w.guest.domain = w.number()
		w.sure = false
		return "saved and restored", nil
	case 4:
		w.startVTPM()
		return "vTPM starts again", nil
	case 5:
		w.restartManager()
		return "manager starts again", nil
	case 6:
		if !w.attested {
			return "", nil
		}
		w.resetHardware()
		w.restartManager()
		w.startVTPM()
		w.guest.domain = w.number()
		return "host starts again, guest restored", nil
	case 7:
		w.fail, w.lose = w.r.IntN(2) == 0, w.r.IntN(2) == 0
		return "the ring breaks", nil
	case 8:
		w.disconnect()
		return "disconnected", nil
	case 9:
		return "order replayed", w.replay()
	case 10:
		w.create(true)
		w.session.Close()
		w.linkAgain()
		return "created, and then the ring is connected again", nil
	case 11:
		w.openManager()
		w.create(true)
		w.linkAgain()
		return "manager starts again, and is told of a guest before the vTPM comes back", nil
	case 12:
		return "created, and the guest before it comes back once more", w.oldGuestBack()
	}
	return "connect", w.connect()
}

// TestGuestLives: whatever ends and starts again, and whatever message is lost, a
// guest finds the PCRs of a start only at the first connection of a life that the host
// told of; and it does find them then, if nothing failed.
func TestGuestLives(t *testing.T) {
	t.Parallel()
	streams := uint64(40)
	switch {
	case wholeCampaign(t) > 0:
		streams = 200
	case testing.Short():
		streams = 8
	}
	for seed := range streams {
		for _, attested := range []bool{true, false} {
			w := newGuestWorld(t, seed, attested)
			var done []string
			for range 60 {
				what, err := w.step()
				done = append(done, what)
				if err != nil {
					t.Fatalf("stream %d, attested %v: %v, after %q", seed, attested, err, done)
				}
			}
		}
	}
}

// TestSavedGuest: a guest that was saved and restored has another domain, and finds
// PCRs that say that this is not its start.
func TestSavedGuest(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	w.guest.domain = 3
	if err := w.order(testHostKey).Created(3, campaignUUID); err != nil {
		t.Fatal(err)
	}
	if err := w.connect(); err != nil || w.conn == nil {
		t.Fatal(err)
	}
	w.disconnect()
	w.guest.domain = 4
	if err := w.connect(); err != nil || w.conn == nil {
		t.Fatal(err)
	}
	zero := string(make([]byte, 32))
	for pcr := range uint(cappedPCRs) {
		if w.pcr(pcr) == zero {
			t.Errorf("PCR %d is zero", pcr)
		}
	}
}

// TestGuestOfAnotherLine: a guest whose line has another vTPM's uuid is refused, with
// words of its own.
func TestGuestOfAnotherLine(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	for _, uuid := range []string{"", "0f7c9c1e-2f4a-4f2b-9c58-0d7c1b2a3f99", "nonsense"} {
		if _, err := w.h.Open(tpmif.Peer{Domain: w.guest.domain, UUID: uuid}); !errors.Is(err, errOtherUUID) {
			t.Errorf("uuid %q: %v", uuid, err)
		}
	}
	if err := w.connect(); err != nil || w.conn == nil {
		t.Errorf("its own: %v", err)
	}
}

// TestGuestOfSuspended: a vTPM that is suspended while it is connected does not take
// another guest, until it is resumed.
func TestGuestOfSuspended(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	if err := w.order(testAdmin).Suspend(campaignUUID); err != nil {
		t.Fatal(err)
	}
	if err := w.connect(); err != nil || w.conn != nil {
		t.Fatalf("suspended: connected %v, %v", w.conn != nil, err)
	}
	if err := w.order(testAdmin).Resume(campaignUUID); err != nil {
		t.Fatal(err)
	}
	if err := w.connect(); err != nil || w.conn == nil {
		t.Fatalf("resumed: connected %v, %v", w.conn != nil, err)
	}
}

// TestGuestAfterAmend: an order for another image ends the vTPM's admission. A vTPM that
// still may load does so for the next guest, and one that may not gives nobody its TPM.
func TestGuestAfterAmend(t *testing.T) {
	t.Parallel()
	image, other := [32]byte{1}, [32]byte{2}
	w := newGuestWorld(t, 1, true)
	if err := w.order(testHostKey).Measured(100, image); err != nil {
		t.Fatal(err)
	}
	amend := func(image [32]byte) {
		t.Helper()
		if err := w.order(testAdmin).Amend(&proto.Enrollment{UUID: campaignUUID, Image: image, Attested: true}); err != nil {
			t.Fatal(err)
		}
	}
	amend(image)
	if err := w.connect(); err != nil || w.conn == nil {
		t.Fatalf("amended to the image that it runs: connected %v, %v", w.conn != nil, err)
	}
	amend(other)
	w.create(true)
	if err := w.connect(); err != nil || w.conn != nil {
		t.Fatalf("amended to another image: connected %v, %v", w.conn != nil, err)
	}
}

// TestPlainGuestKeepsCap: in each mode of the guard, a guest with plain starts whose vTPM
// and manager both start again does not find the PCRs of a start.
func TestPlainGuestKeepsCap(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]ledger.Mode{"budget": ledger.Budget(ledger.DefaultEndurance, ledger.DefaultYears), "strict": {},
		"bounded": {Bounded: time.Minute}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
			if err != nil {
				t.Fatal(err)
			}
			w := &guestWorld{t: t, r: rand.New(rand.NewPCG(1, 5)), hw: hardware{d}}
			w.resetHardware()
			w.cfg = vtpmmgr.Config{TPM: w.hw, Disk: blocktest.NewMem(512 << 10), Log: t.Logf, Mode: mode}
			if w.m, err = vtpmmgr.Initialize(w.cfg, vtpmmgr.Setup{Admin: testAdmin.Public().(ed25519.PublicKey)}); err != nil {
				t.Fatal(err)
			}
			if err := w.order(testAdmin).Enroll(&proto.Enrollment{UUID: campaignUUID}); err != nil {
				t.Fatal(err)
			}
			if w.device, err = vtpm.Manufacture(vtpm.Config{Store: noStore{}}); err != nil {
				t.Fatal(err)
			}
			w.connectManager()
			w.startVTPM()
			w.create(false)
			if err := w.connect(); err != nil || w.conn == nil {
				t.Fatal(err)
			}
			w.startVTPM()
			w.restartManager()
			if err := w.connect(); err != nil || w.conn == nil {
				t.Fatalf("connected %v: %v", w.conn != nil, err)
			}
		})
	}
}
