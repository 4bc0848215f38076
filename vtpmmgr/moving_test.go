package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

func moveModes() []ledger.Mode { return []ledger.Mode{{}, {Daily: 54}, {Bounded: 5e9}} }

// TestTransfer moves a vTPM to another host and back, with both managers started again after
// each step. The state, Clock, resetCount, failedTries, the epoch and the firmware secrets go
// on; the certificates of the host that it left are revoked.
func TestTransfer(t *testing.T) {
	t.Parallel()
	for _, mode := range moveModes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			w := newTransferWorld(t, mode)
			ek := primary(t, hardwareTPM(t), tpm2.ECCEKTemplate)
			old := w.a.certificates(w.u, ek)
			first := w.measured(w.a)
			for _, w := range []*transferWorld{w, w.back()} {
				c, end := w.a.vtpm(w.u)
				g, err := c.Load()
				w.must(err)
				end()
				w.freeze(w.a, w.u, g.State.Sequence+2)
				g, err = w.a.loads(w.u)
				w.must(err)
				for _, s := range w.steps() {
					w.must(s.do())
					if s.name != 'r' && s.name != 'o' && s.name != 'O' { // a request is in memory only, and so is freezing
						w.must(errors.Join(w.a.restart(), w.b.restart()))
					}
					live := 0
					for _, h := range []*transferHost{w.a, w.b} {
						if _, err := h.loads(w.u); err == nil {
							live++
						}
					}
					if before := strings.IndexByte("roOe", s.name) >= 0; before != (live == 1) {
						t.Fatalf("step %c: %d are live", s.name, live)
					}
				}
				if got := w.a.revoked(); !strings.Contains(got, old[0]) {
					t.Errorf("certificate %s is not revoked: %q", old[0], got)
				}
				now, err := w.b.loads(w.u)
				w.must(err)
				if now.State != g.State || now.Epoch != g.Epoch || now.Profile != g.Profile || now.Manufacture {
					t.Errorf("it was %+v, and is %+v", g, now)
				}
				if second := w.measured(w.b); second != first {
					t.Error("the firmware secrets are others")
				}
				old = w.b.certificates(w.u, ek)
				if got := w.b.revoked(); strings.Contains(got, old[0]) {
					t.Error("the new certificate is revoked")
				}
			}
			if p := w.a.phase(w.u); p != transfer.Live {
				t.Errorf("after there and back: %v", p)
			}
		})
	}
}

// measured returns the firmware secrets of the vTPM in a domain that was measured.
func (w *transferWorld) measured(h *transferHost) [2][32]byte {
	w.t.Helper()
	w.must(h.as(testAdmin).Measured(9, [32]byte{7}))
	g, err := h.loads(w.u)
	w.must(err)
	if g.Firmware == [32]byte{} {
		w.t.Fatal("no firmware secret")
	}
	return [2][32]byte{g.Firmware, g.SVN}
}

// TestTransferRefuses: a vTPM that is on its way can neither load, commit nor be changed, and
// is not lost by orders about it.
func TestTransferRefuses(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{})
	c, end := w.a.vtpm(w.u)
	defer end()
	_, err := c.Load()
	w.must(err)
	w.upTo('h')
	approver := w.a.as(testApprover)
	for name, err := range map[string]error{
		"commit":  c.CommitUrgent(testState(4)),
		"again":   c.CommitFrozen(testState(3)),
		"load":    second(c.Load()),
		"random":  second(c.Random(8)),
		"guest":   second(c.Guest(3, false)),
		"enroll":  approver.Enroll(&proto.Enrollment{UUID: w.u, Group: w.a.group}),
		"amend":   approver.Amend(&proto.Enrollment{UUID: w.u, Group: w.a.group}),
		"targets": approver.SetTargets(w.u, (&transfer.Rules{Labels: true}).Append(nil)),
	} {
		if !errors.Is(err, proto.Moving) {
			t.Errorf("%s while it is sent: %v", name, err)
		}
	}
	// A refusal has it go on with the connection that it had.
	out, err := w.b.step(proto.MoveRefuse, w.u, w.offer)
	w.must(err)
	_, err = w.a.give(w.u, out)
	w.must(err)
	w.must(c.CommitUrgent(testState(4)))
	w.freeze2(c, 5)
	w.upTo('a')
	for name, err := range map[string]error{
		"enroll":  w.b.as(testApprover).Enroll(&proto.Enrollment{UUID: w.u, Group: w.b.group}),
		"amend":   w.b.as(testApprover).Amend(&proto.Enrollment{UUID: w.u, Group: w.b.group}),
		"backup":  second(w.b.as(testApprover).Backup(w.u)),
		"load":    second(w.b.loads(w.u)),
		"destroy": w.b.as(testAdmin).Destroy(w.u), // it is the approver's
	} {
		if want := map[bool]error{true: proto.Unsigned, false: proto.Moving}[name == "destroy"]; !errors.Is(err, want) {
			t.Errorf("%s while it is received: %v", name, err)
		}
	}
	if n := w.finish(); n != 1 {
		t.Errorf("%d are live", n)
	}
}

func second[T any](_ T, err error) error { return err }

// freeze2 freezes a vTPM that is connected.
func (w *transferWorld) freeze2(c *proto.Client, n uint64) {
	w.t.Helper()
	w.must(c.CommitFrozen(testState(n)))
}

// TestTransferDestroyed: what a target received can be destroyed, and the source restored from
// a backup in a new epoch; no message of before then brings a second one back.
func TestTransferDestroyed(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		w := newTransferWorld(t, ledger.Mode{Daily: 54})
		backup, err := w.a.as(testApprover).Backup(w.u)
		w.must(err)
		w.upTo('a')
		if gone {
			w.upTo2('R')
			if _, err := w.a.as(testApprover).Backup(w.u); !errors.Is(err, proto.Moving) {
				t.Errorf("backup of what is gone: %v", err)
			}
		}
		if _, _, err := w.b.as(testApprover).Restore(backup); err == nil {
			t.Error("a backup was restored at the target")
		}
		_, epoch, err := w.a.as(testApprover).Restore(backup)
		if err != nil || epoch != 1 {
			t.Fatalf("restore: epoch %d, %v", epoch, err)
		}
		w.must(w.a.restart())
		if _, err := w.a.give(w.u, w.answer); reasonOf(err) != transfer.NotSent {
			t.Errorf("the receipt after the restore: %v", err)
		}
		if g, err := w.a.loads(w.u); err != nil || g.Epoch != 1 || g.State.Key != testState(3).Key {
			t.Errorf("restored: %+v, %v", g, err)
		}
		if gone {
			continue // a release has left: the approver knows that the target is dead
		}
		w.must(w.b.as(testApprover).Destroy(w.u))
		if p := w.b.phase(w.u); p != transfer.None {
			t.Errorf("destroyed: %v", p)
		}
		out, err := w.b.give(w.u, w.handover)
		w.must(err)
		if why, is := transfer.Refused(out); !is || why != transfer.UnknownMove {
			t.Errorf("the handover of what was destroyed: %v", why)
		}
	}
}

// upTo2 goes on to a message after the answer.
func (w *transferWorld) upTo2(what byte) {
	w.t.Helper()
	for _, s := range w.steps()[5:] {
		w.must(s.do())
		if s.name == what {
			return
		}
	}
}

// reasonOf returns why a step was refused.
func reasonOf(err error) transfer.Reason {
	var e proto.MoveError
	errors.As(err, &e)
	return transfer.Reason(e)
}

// TestTransferBackups: backups of before and after moves restore, with the same firmware
// secrets; nothing but an approver's order brings back what is gone.
func TestTransferBackups(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	first := w.measured(w.a)
	before, err := w.a.as(testApprover).Backup(w.u)
	w.must(err)
	w.upTo('e')
	there, err := w.b.as(testApprover).Backup(w.u)
	w.must(err)
	w.freeze(w.b, w.u, 5)
	back := w.back()
	back.upTo('e')
	if _, _, err := w.b.as(testAdmin).Restore(there); !errors.Is(err, proto.Unsigned) {
		t.Errorf("restored by the administrator: %v", err)
	}
	_, epoch, err := w.a.as(testApprover).Restore(before)
	if err != nil || epoch != 1 {
		t.Errorf("the backup of before it left: epoch %d, %v", epoch, err)
	}
	if w.measured(w.a) != first {
		t.Error("the firmware secrets are others")
	}
	_, epoch, err = w.b.as(testApprover).Restore(there)
	if err != nil || epoch != 1 {
		t.Errorf("the backup of the other host: epoch %d, %v", epoch, err)
	}
	if w.measured(w.b) != first {
		t.Error("the firmware secrets are others")
	}
}

// TestTransferOldDisks puts old disks back: of the source from before the vTPM was sent, and
// of the target from before it was received and before it refused. In no mode does a manager
// start on them, not even after the host was reset.
func TestTransferOldDisks(t *testing.T) {
	t.Parallel()
	for _, mode := range moveModes() {
		for _, until := range []byte("haRe") {
			t.Run(mode.String()+string(until), func(t *testing.T) {
				t.Parallel()
				w := newTransferWorld(t, mode)
				for _, s := range w.steps() {
					old := bytes.Clone(s.at.disk.Data)
					w.must(s.do())
					if s.name != until {
						continue
					}
					newest := bytes.Clone(s.at.disk.Data)
					reset(t, s.at.cfg.TPM) // takes the links of budget mode away
					copy(s.at.disk.Data, old)
					if _, err := Open(s.at.cfg); !errors.Is(err, ledger.ErrRolledBack) {
						t.Errorf("disk of before step %c: %v", s.name, err)
					}
					copy(s.at.disk.Data, newest)
					w.must(second(Open(s.at.cfg)))
					return
				}
			})
		}
	}
}

// TestOffers: anybody may ask for offers, so their number and rate have limits; the vTPM of
// the host is not harmed by it.
func TestOffers(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	w.upTo('o')
	ask := func(n int) ([]byte, error) {
		q := &transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID{0xCC, byte(n), byte(n >> 8)}, Nonce: transfer.Hash{byte(n)}}
		return w.b.give(UUID(q.VTPM), q.Append(nil))
	}
	var made [][]byte
	for n := range maxOffers + 1 {
		out, err := ask(n)
		if errors.Is(err, proto.Rate) {
			break
		}
		w.must(err)
		made = append(made, out)
	}
	if len(made) > maxOffers || len(made) < 4 {
		t.Fatalf("%d offers", len(made))
	}
	again, err := ask(0)
	if err != nil || !sameTerms(t, again, made[0]) {
		t.Errorf("an offer is not given again: %v", err)
	}
	u := UUID{0xCC}
	if _, err := w.b.step(proto.MoveRefuse, u, made[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(len(made)); err != nil {
		t.Errorf("no offer in the place of one that was refused: %v", err)
	}
	w.must(w.b.restart())
	if n := len(w.b.m.moving); n != len(made)+1 {
		t.Errorf("%d offers are kept, and %d were made", n, len(made)+1)
	}
	out, err := w.b.step(proto.MoveTargetAgain, w.u, nil)
	if err != nil || !sameTerms(t, out, w.offer) {
		t.Errorf("the offer of before: %v", err)
	}
	// The same vTPM again and again.
	n := 0
	for ; n < 100; n++ {
		q := &transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID{0xCC, 1}, Nonce: transfer.Hash{9, byte(n)}}
		if _, err = w.b.give(UUID(q.VTPM), q.Append(nil)); err != nil {
			break
		}
	}
	if !errors.Is(err, proto.Rate) || n > 16 {
		t.Errorf("%d offers for one vTPM, then %v", n, err)
	}
}

func sameTerms(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, err1 := transfer.ParseOffer(a)
	y, err2 := transfer.ParseOffer(b)
	return err1 == nil && err2 == nil && x.Terms == y.Terms
}

// TestTransfersListed: who may see it is told what is moving, and since when.
func TestTransfersListed(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{})
	w.upTo('o')
	for _, c := range []struct {
		name  string
		h     *transferHost
		until byte
		want  transfer.Phase
	}{{"source", w.a, 'h', transfer.Sent}, {"target", w.b, 'a', transfer.Received}, {"source", w.a, 'R', transfer.Gone}} {
		w.must(w.steps()[strings.IndexByte("roOhaRe", 'O')].do())
		w.must(w.steps()[strings.IndexByte("roOhaRe", c.until)].do())
		list, err := c.h.as(testApprover).Transfers()
		if err != nil || len(list) != 1 || transfer.Phase(list[0].Phase) != c.want || list[0].Since == 0 || list[0].UUID != w.u {
			t.Errorf("%s: %+v, %v", c.name, list, err)
		}
		entries, err := c.h.as(testAdmin).List()
		if err != nil || len(entries) != 1 || !entries[0].Moving {
			t.Errorf("%s: %+v, %v", c.name, entries, err)
		}
		if _, err := c.h.as(testHost).Transfers(); !errors.Is(err, proto.Unsigned) {
			t.Errorf("%s: for the host's key: %v", c.name, err)
		}
		s, err := c.h.as(testAdmin).Status()
		if err != nil || s["moves-"+c.want.String()] != "1" {
			t.Errorf("%s: status %v, %v", c.name, s, err)
		}
	}
}

// TestTransferRestoredLedger: an offer of before an old ledger was opened by the
// administrator's order is void, since the vTPM may have come by it already.
func TestTransferRestoredLedger(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{})
	w.upTo('o')
	old := bytes.Clone(w.b.disk.Data)
	w.order = signOffer(t, w.offer, testApprover)
	for _, s := range w.steps()[3:] {
		w.must(s.do())
	}
	w.b.m.Close()
	copy(w.b.disk.Data, old)
	counter, err := w.b.m.tpm.Counter()
	w.must(err)
	w.b.m, err = OpenRestored(w.b.cfg, ed25519.Sign(testAdmin, proto.SignedRestore(w.b.m.id, counter)))
	w.must(err)
	w.b.certify(w.site, 4)
	out, err := w.b.give(w.u, w.handover)
	w.must(err)
	if why, refused := transfer.Refused(out); !refused || why != transfer.UnknownMove {
		t.Errorf("the handover of before: %v", why)
	}
	if _, err := w.b.give(w.u, w.release); reasonOf(err) != transfer.NotReceived {
		t.Errorf("the release of before: %v", err)
	}
}

// TestTransferRate: the approver of a group cannot wear the hardware TPM by moves. A move that
// waits for its share changes nothing, at the source and at the target.
func TestTransferRate(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	for i, name := range []byte("ha") {
		h := []*transferHost{w.a, w.b}[i]
		for _, s := range w.steps() {
			if s.name != name {
				continue
			}
			if i == 0 {
				w.upTo('O')
			}
			h.m.groupMoves[h.group] = &bucket{used: moveRate.burst, last: time.Now()}
			before := h.phase(w.u)
			if err := s.do(); !errors.Is(err, proto.Rate) || h.phase(w.u) != before {
				t.Errorf("step %c: %v, %v", name, err, h.phase(w.u))
			}
			h.m.groupMoves[h.group].used = moveRate.burst - 1
			w.must(s.do())
		}
	}
	if n := w.finish(); n != 1 {
		t.Errorf("%d are live", n)
	}
}
