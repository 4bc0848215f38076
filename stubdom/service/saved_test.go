package service

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/crb"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A memoryImage is a guest's memory in a file.
type memoryImage struct {
	token [crb.TokenSize]byte
	pcr8  string // as the guest's programs know it
}

// A savedWorld is a host with a manager, a vTPM on its disk, and guests that are created,
// saved and restored.
type savedWorld struct {
	t       *testing.T
	r       *rand.Rand
	cfg     vtpmmgr.Config
	m       *vtpmmgr.Manager
	session *vtpmmgr.Session
	disk    *blocktest.Mem
	h       *guestHandler
	conn    crb.Conn
	domain  xen.DomID
	number  byte // of the last value that was extended

	fail, lose bool // the vTPM's next request, or the answer to it
	sure       bool // nothing has failed since the last image was saved

	images []memoryImage
	holder int // image that belongs to what is in the TPM; -1 for none
	seen   map[string]int
}

func newSavedWorld(t *testing.T, seed uint64) *savedWorld {
	t.Helper()
	chip, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err == nil {
		err = startupClear(chip)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &savedWorld{t: t, r: rand.New(rand.NewPCG(seed, 14)), disk: blocktest.NewMem(4 * statedisk.MinDisk), domain: 10, holder: -1, sure: true, seen: map[string]int{}}
	w.cfg = vtpmmgr.Config{TPM: hardware{chip}, Disk: blocktest.NewMem(512 << 10), Log: func(string, ...any) {}, CommitRate: 1e6,
		Mode: ledger.Budget(ledger.DefaultEndurance, ledger.DefaultYears)}
	w.m, err = vtpmmgr.Initialize(w.cfg, vtpmmgr.Setup{Admin: testAdmin.Public().(ed25519.PublicKey), Host: testHostKey.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	w.must(w.order(testAdmin).Enroll(&proto.Enrollment{UUID: campaignUUID, Attested: true}))
	w.start()
	return w
}

func (w *savedWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *savedWorld) order(key ed25519.PrivateKey) *proto.Client {
	s, err := w.m.Open(vtpmmgr.Peer{})
	w.must(err)
	return &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: key}
}

// client is the vTPM's.
func (w *savedWorld) client() *proto.Client {
	return &proto.Client{Transact: func(b []byte) ([]byte, error) {
		if w.fail {
			w.fail, w.sure = false, false
			return nil, errLink
		}
		answer := w.session.Execute(b)
		if w.lose {
			w.lose, w.sure = false, false
			return nil, errLink
		}
		return answer, nil
	}}
}

func (w *savedWorld) link() {
	var err error
	w.fail, w.lose = false, false
	w.session, err = w.m.Open(vtpmmgr.Peer{Domain: 100, UUID: campaignUUID})
	w.must(err)
	_, err = w.client().Load()
	w.must(err)
	if w.h != nil {
		w.must(w.h.reportGuest(w.client()))
	}
}

// start starts the vTPM.
func (w *savedWorld) start() {
	w.t.Helper()
	w.h = nil
	w.link()
	c := w.client()
	grant, err := c.Load()
	w.must(err)
	o, err := openDevice(&Environment{Log: func(string, ...any) {}}, w.disk, c, &grant)
	w.must(err)
	w.h = &guestHandler{device: o.device, log: func(string, ...any) {}, manager: c, uuid: campaignUUID, attested: true, store: o.store}
	w.must(w.h.begin(&o))
}

func (w *savedWorld) disconnect() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// connect connects the guest; an error is one that may pass.
func (w *savedWorld) connect() error {
	w.disconnect()
	c, err := w.h.OpenCRB(tpmif.Peer{Domain: w.domain, UUID: proto.UUID(campaignUUID).String()}, false)
	if errors.Is(err, tpmif.ErrLater) {
		w.sure = false
		return err
	}
	w.must(err)
	w.conn = c
	return nil
}

// extend has the guest use its TPM.
func (w *savedWorld) extend() {
	w.number++
	w.conn.Execute(0, pcrExtend(8, w.number))
}

// pcrExtend is TPM2_PCR_Extend of the SHA-256 bank, by a value of one byte.
func pcrExtend(pcr, value byte) []byte {
	b := []byte{0x80, 2, 0, 0, 0, 0, 0, 0, 1, 0x82, 0, 0, 0, pcr, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x0B}
	b = append(b, make([]byte, 31)...)
	b = append(b, value)
	b[5] = byte(len(b))
	return b
}

// save makes an image of the guest's memory.
func (w *savedWorld) save() {
	image := memoryImage{pcr8: pcrBy(w.t, w.conn, 8)}
	image.token = w.conn.Token() // reading was a command too
	w.images = append(w.images, image)
	w.holder, w.sure = len(w.images)-1, true
}

// cappedPCR is what a PCR has after nothing but the event of capPCRs.
func cappedPCR() string {
	event := sha256.Sum256([]byte(capEvent))
	pcr := sha256.Sum256(append(make([]byte, 32), event[:]...))
	return string(pcr[:])
}

func (w *savedWorld) step() error {
	switch w.r.IntN(14) {
	case 0: // a new guest
		w.disconnect()
		w.domain++
		w.must(w.order(testHostKey).Created(uint16(w.domain), campaignUUID))
		sure := !w.fail && !w.lose
		if w.connect() != nil {
			return nil // the TPM may be as it was
		}
		w.holder = -1
		if sure && pcrBy(w.t, w.conn, 8) != string(make([]byte, 32)) {
			return fmt.Errorf("a new guest does not find the PCRs of a start")
		}
		w.extend() // no two guests have the same
	case 1, 2, 3:
		if w.conn != nil {
			w.extend()
		}
	case 4, 5, 6: // it is saved, and ends, unless it goes on until later
		if w.conn == nil {
			return nil
		}
		w.save()
		if w.r.IntN(3) > 0 {
			w.disconnect()
			return nil
		}
		if w.r.IntN(2) == 0 {
			w.extend()
			w.holder = -1
		}
		return w.restore()
	case 7, 8, 9:
		return w.restore()
	case 10: // the vTPM's domain ends in an orderly way, and starts
		w.disconnect()
		w.fail, w.lose = false, false
		w.h.end()
		w.session.Close()
		w.start()
		w.seen["ended"]++
	case 11: // it crashes
		w.disconnect()
		w.session.Close()
		w.start()
		w.holder = -1
	case 12: // the manager starts again
		w.m.Close()
		var err error
		w.m, err = vtpmmgr.Open(w.cfg)
		w.must(err)
		w.link()
	case 13:
		if w.r.IntN(3) == 0 {
			w.fail, w.lose = w.r.IntN(2) == 0, w.r.IntN(2) == 0
			return nil
		}
		w.fail, w.lose = false, false
		_, _, err := w.h.freeze()
		w.must(err)
		w.must(w.h.thaw())
		w.seen["frozen"]++
	}
	return nil
}

// restore restores an image, perhaps not the last one, and the host perhaps tells another
// token, or nothing, or the manager forgets it.
func (w *savedWorld) restore() error {
	if len(w.images) == 0 {
		return nil
	}
	w.disconnect()
	n := len(w.images) - 1
	if w.r.IntN(4) == 0 {
		n = w.r.IntN(len(w.images))
	}
	image, word := w.images[n], w.r.IntN(8)
	// The toolstack may give a domain that it restores the number that the last one had.
	reused := word > 0 && w.r.IntN(4) == 0
	if !reused {
		w.domain++
	}
	switch token := image.token; word {
	case 0:
	case 1:
		token[w.r.IntN(len(token))] ^= 1 << w.r.IntN(8)
		w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, token))
	case 2:
		w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, [32]byte{}))
	default:
		w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, token))
	}
	if !reused && w.r.IntN(8) == 0 {
		w.m.Close()
		var err error
		w.m, err = vtpmmgr.Open(w.cfg)
		w.must(err)
		w.link()
		word = 0
	}
	may := word > 2 && n == w.holder
	for range 3 { // as the server does
		if err := w.connect(); err == nil {
			break
		}
	}
	if w.conn == nil {
		return nil
	}
	got := pcrBy(w.t, w.conn, 8)
	kept := got == image.pcr8
	w.seen[fmt.Sprintf("kept %v, might %v", kept, may)]++
	if reused {
		w.seen["number used again"]++
	}
	w.holder = -1
	switch {
	case kept && !may:
		return fmt.Errorf("image %d of %d finds its TPM", n, len(w.images))
	case !kept && may && w.sure:
		return fmt.Errorf("image %d of %d, the last one, does not find its TPM", n, len(w.images))
	case !kept && (got != cappedPCR() || pcrBy(w.t, w.conn, 0) != got):
		return fmt.Errorf("image %d of %d finds PCRs that do not say so, or what another one left", n, len(w.images))
	}
	w.extend()
	return nil
}

// TestSaved: whatever ends and starts, a guest that was restored finds its TPM as it left it
// if its image is the last one, used for the first time, and the host told of it; else PCRs
// that say so.
func TestSaved(t *testing.T) {
	t.Parallel()
	streams, steps := uint64(16), 200
	if testing.Short() {
		streams, steps = 6, 150
	}
	seen := map[string]int{}
	for seed := range streams {
		w := newSavedWorld(t, seed)
		for n := range steps {
			if err := w.step(); err != nil {
				t.Fatalf("stream %d, step %d: %v", seed, n, err)
			}
		}
		for k, n := range w.seen {
			seen[k] += n
		}
	}
	t.Log(seen)
	for _, what := range []string{"kept true, might true", "kept false, might false", "ended", "frozen", "number used again"} {
		if seen[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
}
