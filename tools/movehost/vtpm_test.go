package movehost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/xen/xenstore"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/tools/xenmove"
	"stubtpm/vtpmmgr/proto"
)

const (
	managerName = "vtpmmgr"
	vtpmUUID    = "6f3b2a10-0000-4000-8000-000000000001"
)

// playedManager is the first word of the manager that is played. The second is a directory: a
// step there fails as the file of its name says, and else answers with that of NAME.out.
const playedManager = "played-manager"

func play(dir string, words []string) int {
	step := words[1]
	f, _ := os.OpenFile(filepath.Join(dir, "said"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	fmt.Fprintln(f, step)
	f.Close()
	if b, err := os.ReadFile(filepath.Join(dir, step)); err == nil {
		fmt.Println("the manager says no")
		return atoi(string(b))
	}
	out, err := os.ReadFile(filepath.Join(dir, step+".out"))
	if at := slices.Index(words, "-o"); err == nil && at > 0 {
		os.WriteFile(words[at+1], out, 0o600)
	}
	return 0
}

// A hand is this host with a manager that is played, and a vTPM's domain.
type hand struct {
	t     *testing.T
	host  *xentest.Host
	store *xenstore.Client
	dir   string // of the manager
	man   *Manager
	rec   Dir
	disk  string
}

func newHand(t *testing.T, domain bool) *hand {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{t: t, host: xentest.NewHost(), dir: t.TempDir(), rec: Dir(t.TempDir()), disk: disk(t, 1<<20, []byte("state"))}
	h.man = &Manager{Command: []string{self, playedManager, h.dir}}
	h.store = h.host.Domain(0).Store
	t.Cleanup(func() { h.store.Close() })
	h.host.Store.Set(map[string]string{"/local/domain/1/name": managerName, "/local/domain/5/name": guest})
	if domain {
		h.start()
	}
	return h
}

// start makes the vTPM's domain, number 2.
func (h *hand) start() {
	h.host.Store.Set(map[string]string{
		"/local/domain/2/name": "vtpm", "/libxl/2/device/vtpm/0/uuid": vtpmUUID, "/libxl/2/device/vtpm/0/frontend": "/local/domain/2/device/vtpm/0",
		"/libxl/2/device/vtpm/0/backend": "/local/domain/1/backend/vtpm/2/0", "/local/domain/0/backend/vbd/2/51712/params": h.disk,
	})
}

func (h *hand) remove(path string) {
	h.t.Helper()
	if err := h.store.Remove(h.t.Context(), path); err != nil {
		h.t.Fatal(err)
	}
}

// on sets what the manager does at a step: exit with a code, or answer.
func (h *hand) on(step string, code int, out string) {
	h.t.Helper()
	name := filepath.Join(h.dir, step)
	os.Remove(name)
	os.Remove(name + ".out")
	var err error
	switch {
	case code != 0:
		err = os.WriteFile(name, fmt.Append(nil, code), 0o600)
	case out != "":
		err = os.WriteFile(name+".out", []byte(out), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// said returns the steps that the manager was asked for, and forgets them.
func (h *hand) said() string {
	b, _ := os.ReadFile(filepath.Join(h.dir, "said"))
	os.Remove(filepath.Join(h.dir, "said"))
	return strings.Join(strings.Fields(string(b)), " ")
}

func (h *hand) leaving() *Leaving {
	return &Leaving{Store: h.store, Dir: h.rec, Manager: h.man, Name: managerName, ID: vtpmUUID, Key: "key"}
}

func (h *hand) arriving(start string) *Arriving {
	return &Arriving{Store: h.store, Dir: h.rec, Manager: h.man, Name: managerName, ID: vtpmUUID, Disk: h.disk, Start: start}
}

// request and terms are those of an offer, and what is sent by it.
var (
	request  = string(requestOf([]byte(terms)))
	terms    = termsAbout(vtpmUUID)
	handover = "\x04\x01" + terms + "sealed"
	receipt  = noteAbout(messageReceipt, vtpmUUID)
	refusal  = noteAbout(messageRefusal, vtpmUUID)
	release  = noteAbout(messageRelease, vtpmUUID)
)

const otherUUID = "6f3b2a10-0000-4000-8000-000000000002"

func termsAbout(id string) string {
	u, _ := proto.ParseUUID(id)
	nines := func(n int) string { return strings.Repeat("\x09", n) }
	return "\x02\x01" + nines(32) + string(u[:]) + nines(termsSize-50)
}

func noteAbout(kind byte, id string) string {
	return string([]byte{kind, 1, 0}) + termsAbout(id)[2:66] + "note"
}

// TestLeaving sends a vTPM away, each step twice.
func TestLeaving(t *testing.T) {
	t.Parallel()
	h := newHand(t, true)
	l, ctx := h.leaving(), t.Context()
	h.on("request", 0, request)
	h.on("order", 0, "order")
	if b, err := l.Request(ctx); string(b) != request || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := l.Transfer(ctx); err == nil {
		t.Error("sent without an order")
	}
	if err := l.Approve(ctx, []byte(terms+"evidence")); err != nil {
		t.Fatal(err)
	}
	const node = "/local/domain/2/" + nodeFrozen
	h.host.Store.Set(map[string]string{node: "error: no manager"})
	if err := l.Freeze(ctx); err == nil || !strings.Contains(err.Error(), "no manager") {
		t.Errorf("a freeze that failed: %v", err)
	}
	h.host.Store.Set(map[string]string{node: "1 2 3"})
	if err := l.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	if v, _ := h.host.Store.Get("/local/domain/2/" + nodeFreeze); v != "1" {
		t.Errorf("freeze: %q", v)
	}
	h.said()
	// The manager does not answer, refuses, and then does it.
	h.on("handover", 4, "")
	if _, err := l.Transfer(ctx); err == nil || errors.Is(err, xenmove.ErrNotSent) || h.said() != "handover" {
		t.Errorf("no answer: %v", err)
	}
	h.on("handover", 3, "")
	for _, c := range []struct {
		code int
		out  string
		not  bool
	}{{3, "", true}, {4, "", false}, {0, handover, false}, {0, release, false}, {0, receipt, true}} {
		h.on("again", c.code, c.out)
		if _, err := l.Transfer(ctx); err == nil || errors.Is(err, xenmove.ErrNotSent) != c.not {
			t.Errorf("refused, and then %d %.1q: %v", c.code, c.out, err)
		}
	}
	h.on("handover", 0, handover)
	sent, err := l.Transfer(ctx)
	if err != nil || string(sent.Message) != handover {
		t.Fatalf("%q, %v", sent.Message, err)
	}
	h.on("handover", 3, "")
	if again, err := l.Transfer(ctx); err != nil || string(again.Message) != handover || !bytes.Equal(again.State, sent.State) {
		t.Errorf("again: %v", err)
	}
	to := disk(t, 1<<20, nil)
	if err := unpackDisk(to, sent.State); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(to); !bytes.HasPrefix(b, []byte("state\x00")) {
		t.Errorf("the state is %.10q", b)
	}
	h.on("release", 0, release)
	for range 2 {
		if b, moved, err := l.Answer(ctx, []byte(receipt)); string(b) != release || !moved || err != nil {
			t.Errorf("receipt: %q, %v, %v", b, moved, err)
		}
	}
	h.on("release", 0, "")
	if b, moved, err := l.Answer(ctx, []byte(refusal)); b != nil || moved || err != nil {
		t.Errorf("refusal: %q, %v, %v", b, moved, err)
	}
	h.on("release", 3, "")
	for _, c := range []struct {
		answer string
		code   int
		out    string
		ok     bool
	}{{refusal, 3, "", true}, {refusal, 0, handover, false}, {refusal, 4, "", false}, {receipt, 3, "", false}} {
		h.on("again", c.code, c.out)
		if _, moved, err := l.Answer(ctx, []byte(c.answer)); moved || (err == nil) != c.ok {
			t.Errorf("%.1q refused, and then %d %.1q: %v", c.answer, c.code, c.out, err)
		}
	}
	h.host.Store.Set(map[string]string{node: ""})
	if err := l.Thaw(ctx); err != nil {
		t.Error(err)
	}
	// Another move begins: nothing of the one before is sent.
	if _, err := l.Request(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Transfer(ctx); err == nil {
		t.Error("what an earlier move has sent is sent again")
	}
}

// TestArriving takes a vTPM, each step twice. Its disk is written for the handover by the last
// offer only, and never again after the answer.
func TestArriving(t *testing.T) {
	t.Parallel()
	h := newHand(t, false)
	packed, err := packDisk(disk(t, 1<<20, []byte("moved")))
	if err != nil {
		t.Fatal(err)
	}
	a, ctx := h.arriving("touch "+filepath.Join(h.dir, "started")), t.Context()
	has := func(want string) {
		t.Helper()
		if b, _ := os.ReadFile(h.disk); !bytes.HasPrefix(b, []byte(want+"\x00")) {
			t.Errorf("the disk has %.10q, want %q", b, want)
		}
	}
	sent := xenmove.Transfer{State: packed, Message: []byte(handover)}
	h.on("receipt", 0, refusal)
	if _, taken, err := a.Receive(ctx, sent); taken || err != nil {
		t.Errorf("without an offer: %v, %v", taken, err)
	}
	has("state")
	h.on("offer", 0, terms+"evidence")
	if b, err := a.Offer(ctx, []byte(request)); err != nil || string(b) != terms+"evidence" {
		t.Fatal(b, err)
	}
	other := sent
	other.Message = bytes.Replace(sent.Message, []byte{9}, []byte{8}, 1)
	if _, taken, err := a.Receive(ctx, other); taken || err != nil {
		t.Errorf("by another offer: %v, %v", taken, err)
	}
	has("state")
	if _, err := a.Offer(ctx, []byte(request)); err != nil {
		t.Fatal(err)
	}
	h.on("receipt", 4, "")
	if _, _, err := a.Receive(ctx, sent); err == nil {
		t.Error("no manager")
	}
	has("moved")
	h.on("receipt", 0, receipt)
	if b, taken, err := a.Receive(ctx, sent); string(b) != receipt || !taken || err != nil {
		t.Fatalf("%q, %v, %v", b, taken, err)
	}
	// The vTPM goes on.
	if err := os.WriteFile(h.disk, append([]byte("later\x00"), make([]byte, 1<<20-6)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, taken, err := a.Receive(ctx, sent); string(b) != receipt || !taken || err != nil {
		t.Errorf("again: %q, %v, %v", b, taken, err)
	}
	if _, _, err := a.Receive(ctx, other); err != nil {
		t.Error(err)
	}
	has("later")
	h.on("refuse", 3, "")
	if err := a.Refuse(ctx); err != nil {
		t.Errorf("refuse after the receipt: %v", err)
	}
	h.on("finish", 4, "")
	if err := a.Release(ctx, []byte(release)); err == nil {
		t.Error("released without a manager")
	}
	if _, err := os.Stat(filepath.Join(h.dir, "started")); err == nil {
		t.Error("started before the release")
	}
	h.on("finish", 0, "")
	if err := a.Release(ctx, []byte(release)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "started")); err != nil {
		t.Error("not started")
	}
	h.start()
	if _, err := a.Offer(ctx, []byte(request)); !errors.Is(err, ErrNoVTPM) {
		t.Errorf("an offer while the vTPM has a domain: %v", err)
	}
}

// TestArrivingRefused: the disk is not written once the offer was refused, nor while the vTPM
// has a domain.
func TestArrivingRefused(t *testing.T) {
	t.Parallel()
	h := newHand(t, false)
	packed, err := packDisk(disk(t, 1<<20, []byte("moved")))
	if err != nil {
		t.Fatal(err)
	}
	a, ctx := h.arriving("false"), t.Context()
	if err := a.Refuse(ctx); err != nil || h.said() != "" {
		t.Errorf("nothing to refuse: %v", err)
	}
	h.on("offer", 0, terms)
	sent := xenmove.Transfer{State: packed, Message: []byte(handover)}
	if _, err := a.Offer(ctx, []byte(request)); err != nil {
		t.Fatal(err)
	}
	h.start()
	if _, _, err := a.Receive(ctx, sent); !errors.Is(err, ErrNoVTPM) {
		t.Errorf("with a domain: %v", err)
	}
	h.remove("/libxl/2")
	h.on("refuse", 4, "")
	if err := a.Refuse(ctx); err == nil {
		t.Error("refused without a manager")
	}
	h.on("refuse", 0, refusal)
	for range 2 {
		if err := a.Refuse(ctx); err != nil {
			t.Error(err)
		}
	}
	h.on("receipt", 0, refusal)
	if b, taken, err := a.Receive(ctx, sent); string(b) != refusal || taken || err != nil {
		t.Errorf("%q, %v, %v", b, taken, err)
	}
	if b, _ := os.ReadFile(h.disk); !bytes.HasPrefix(b, []byte("state\x00")) {
		t.Errorf("the disk has %.10q", b)
	}
	if err := a.Release(ctx, nil); err == nil {
		t.Error("the domain did not start, and nobody says so")
	}
}

// TestRestored waits until the doorbell holds the guest no more.
func TestRestored(t *testing.T) {
	t.Parallel()
	h := newHand(t, false)
	a := h.arriving("")
	if err := a.Restored(t.Context(), 5); err == nil {
		t.Error("a guest without a device was taken for one that has its TPM")
	}
	h.host.Store.Set(map[string]string{"/local/domain/0/backend/vtpm/5/0/held": "1"})
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Restored(short, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held: %v", err)
	}
	h.host.Store.Set(map[string]string{"/local/domain/0/backend/vtpm/5/0/uuid": vtpmUUID})
	h.remove("/local/domain/0/backend/vtpm/5/0/held")
	if err := a.Restored(t.Context(), 5); err != nil {
		t.Error(err)
	}
}

// TestVTPMOf finds the vTPM of a guest, but not by a ring.
func TestVTPMOf(t *testing.T) {
	t.Parallel()
	h := newHand(t, true)
	if u, err := VTPMOf(t.Context(), h.store, 5); u != "" || err != nil {
		t.Errorf("%q, %v", u, err)
	}
	device := func(backend string) {
		h.host.Store.Set(map[string]string{"/libxl/5/device/vtpm/0/uuid": vtpmUUID, "/libxl/5/device/vtpm/0/frontend": "/local/domain/5/device/vtpm/0",
			"/libxl/5/device/vtpm/0/backend": "/local/domain/" + backend + "/backend/vtpm/5/0"})
	}
	device("0")
	if u, err := VTPMOf(t.Context(), h.store, 5); u != vtpmUUID || err != nil {
		t.Errorf("%q, %v", u, err)
	}
	device("2")
	if _, err := VTPMOf(t.Context(), h.store, 5); !errors.Is(err, ErrNoVTPM) {
		t.Errorf("by a ring: %v", err)
	}
}
