package movehost

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"stubtpm/tools/xenmove"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// TestOtherMessages has the other host give messages about another vTPM, or an offer for another
// request: the approver's key signs no such offer, and neither manager is given one.
func TestOtherMessages(t *testing.T) {
	t.Parallel()
	h := newHand(t, true)
	l, ctx := h.leaving(), t.Context()
	h.on("request", 0, request)
	h.on("order", 0, "order")
	if _, err := l.Request(ctx); err != nil {
		t.Fatal(err)
	}
	h.said()
	changed := func(at int) string {
		b := []byte(terms)
		b[at] ^= 1
		return string(b)
	}
	for name, offer := range map[string]string{
		"another vTPM's": termsAbout(otherUUID), "another source's": changed(18), "another nonce's": changed(66),
		"a handover": handover, "nothing": "", "a part": terms[:100],
	} {
		if err := l.Approve(ctx, []byte(offer)); !errors.Is(err, errOther) || h.said() != "" {
			t.Errorf("signed: %s offer: %v", name, err)
		}
	}
	if _, _, err := h.leaving().Answer(ctx, []byte(noteAbout(messageReceipt, otherUUID))); !errors.Is(err, errOther) || h.said() != "" {
		t.Errorf("receipt of another vTPM: %v", err)
	}
	h.remove("/libxl/2")
	a := h.arriving("false")
	for name, err := range map[string]error{
		"request":  second(a.Offer(ctx, requestOf([]byte(termsAbout(otherUUID))))),
		"handover": third(a.Receive(ctx, xenmove.Transfer{Message: []byte("\x04\x01" + termsAbout(otherUUID))})),
		"release":  a.Release(ctx, []byte(noteAbout(messageRelease, otherUUID))),
	} {
		if !errors.Is(err, errOther) || h.said() != "" {
			t.Errorf("%s of another vTPM: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

// TestArrivedOtherwise: a handover that was kept does not have the disk written once its offer is
// not open any more, as after a move by hand, or a backup that was restored.
func TestArrivedOtherwise(t *testing.T) {
	t.Parallel()
	h := newHand(t, false)
	packed, err := packDisk(disk(t, 1<<20, []byte("moved")))
	if err != nil {
		t.Fatal(err)
	}
	a, ctx := h.arriving("false"), t.Context()
	h.on("offer", 0, terms+"evidence")
	if _, err := a.Offer(ctx, []byte(request)); err != nil {
		t.Fatal(err)
	}
	sent := xenmove.Transfer{State: packed, Message: []byte(handover)}
	h.on("receipt", 4, "")
	for _, c := range []struct {
		code int
		out  string
	}{{3, ""}, {4, ""}, {0, strings.Replace(terms, "\x09", "\x08", 1)}} {
		h.on("offer", c.code, c.out)
		if _, _, err := a.Receive(ctx, sent); err == nil {
			t.Error("no manager")
		}
		if b, _ := os.ReadFile(h.disk); !bytes.HasPrefix(b, []byte("state\x00")) {
			t.Fatalf("offer %d %.1q: the disk has %.10q", c.code, c.out, b)
		}
	}
	h.on("offer", 0, terms+"other evidence")
	if _, _, err := a.Receive(ctx, sent); err == nil {
		t.Error("no manager")
	}
	if b, _ := os.ReadFile(h.disk); !bytes.HasPrefix(b, []byte("moved\x00")) {
		t.Errorf("the disk has %.10q", b)
	}
}

// TestRecordsApart: a record is written beside those of all other guests, whatever their names.
func TestRecordsApart(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	for _, name := range []string{"web.new", ".web", "web.tmp", "web~"} {
		if err := d.Save(xenmove.DepartureRecord(name), []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Save(xenmove.DepartureRecord("web"), []byte("web")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web.new", ".web", "web.tmp", "web~", "web"} {
		if b, ok, err := d.Load(xenmove.DepartureRecord(name)); string(b) != name || !ok || err != nil {
			t.Errorf("%s: %q, %v, %v", name, b, ok, err)
		}
	}
}

// TestMessagesOfManagers has messages as package transfer makes them.
func TestMessagesOfManagers(t *testing.T) {
	t.Parallel()
	u, err := proto.ParseUUID(vtpmUUID)
	if err != nil {
		t.Fatal(err)
	}
	q := transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID(u), Nonce: transfer.Hash{2}}
	o := transfer.Offer{Evidence: []byte("evidence"), Terms: transfer.Terms{Target: transfer.ID{3}, Source: q.Source, VTPM: q.VTPM,
		Move: transfer.ID{4}, SourceNonce: q.Nonce, TargetNonce: transfer.Hash{5}, Key: [32]byte{6}}}
	h := transfer.Handover{Terms: o.Terms, Sealed: []byte("sealed"), Evidence: []byte("evidence")}
	if !answersRequest(o.Append(nil), q.Append(nil)) || !answersOffer(h.Append(nil), o.Append(nil)) {
		t.Error("they do not answer each other")
	}
	for _, b := range [][]byte{q.Append(nil), o.Append(nil), h.Append(nil), []byte(receipt)} {
		if err := mine(b, vtpmUUID); err != nil {
			t.Error(err)
		}
		if err := mine(b, otherUUID); !errors.Is(err, errOther) {
			t.Errorf("kind %d is about another vTPM, too: %v", b[0], err)
		}
		// What is too short for the field, at any length, is nobody's.
		for n := range min(len(b), 34) {
			if mine(b[:n], vtpmUUID) == nil {
				t.Errorf("kind %d, %d bytes: taken", b[0], n)
			}
		}
	}
	// A note has no maker outside of package transfer; what it is about can be read by it.
	for _, n := range []string{receipt, refusal, release} {
		b := []byte(n)[:3+4*16]
		b = append(b, make([]byte, 64)...) // hashes
		if b[0] == messageRefusal {
			b[2] = 1
		} else {
			b[len(b)-1] = 1
		}
		if s, err := transfer.SubjectOf(append(b, 0, 0)); err != nil || s.VTPM != transfer.ID(u) {
			t.Errorf("kind %d: %+v, %v", b[0], s, err)
		}
	}
}
