package service

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpmmgr/proto"
)

// extend extends PCR 8.
func (g guest) extend() error {
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 8, Auth: tpm2.PasswordAuth(nil)}, Digests: tpm2.TPMLDigestValues{
		Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(g)
	return err
}

// pcr8 reads PCR 8.
func (g guest) pcr8(t *testing.T) string {
	t.Helper()
	v, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(8)}}}}.Execute(g)
	if err != nil {
		t.Fatal(err)
	}
	return string(v.PCRValues.Digests[0].Buffer)
}

// newHostLab is a lab whose manager knows the host's key, and has one vTPM, with its disk.
func newHostLab(t *testing.T) (l *lab, disk *blocktest.Mem) {
	t.Helper()
	l = newLab(t)
	stop := l.manager(initWords + fmt.Sprintf(" host=%x", testHostKey.Public().(ed25519.PublicKey)))
	t.Cleanup(func() { stop() })
	l.enroll(testUUID)
	return l, blocktest.NewMem(statedisk.MinDisk * 4)
}

// end ends a domain of a vTPM in an orderly way.
func (l *lab) end(stop func() error) {
	l.t.Helper()
	if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
		l.t.Fatal(err)
	}
}

// order runs an order of the host.
func (l *lab) order(run func(c *proto.Client) error) {
	l.t.Helper()
	f := l.attach(0, managerID, "00000000-0000-0000-0000-000000000000")
	defer f.Close(l.ctx)
	if err := run(&proto.Client{Transact: func(b []byte) ([]byte, error) { return f.Transact(l.ctx, 0, b) }, Key: testHostKey}); err != nil {
		l.t.Fatal(err)
	}
}

// freeze writes a word for a vTPM's domain, and returns its next answer that is not last.
func (l *lab) freeze(id xen.DomID, word, last string) string {
	l.t.Helper()
	store := l.host.Domain(0).Store
	home := "/local/domain/" + itoa(id) + "/"
	if err := store.Write(l.ctx, home+nodeFreeze, word); err != nil {
		l.t.Fatal(err)
	}
	for {
		if v, err := store.Read(l.ctx, home+nodeFrozen); err == nil && v != last {
			return v
		}
		select {
		case <-time.After(time.Millisecond):
		case <-l.ctx.Done():
			l.t.Fatalf("%s: no answer", word)
		}
	}
}

// TestFreeze: a frozen TPM executes nothing until it is thawed; the domain ends and starts,
// and the TPM goes on for the domain that the host restored from the right image, once.
func TestFreeze(t *testing.T) {
	t.Parallel()
	l, disk := newHostLab(t)
	stop := l.vtpm(2, disk)
	g := guest{l.ctx, l.attach(3, 2, testUUID)}
	if err := g.extend(); err != nil {
		t.Fatal(err)
	}
	session, closeSession, err := tpm2.PolicySession(g, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		t.Fatal(err)
	}
	_ = closeSession
	pcr := g.pcr8(t)
	frozen := l.freeze(2, "1", "")
	words := strings.Fields(frozen)
	if len(words) != 3 || len(words[1]) != 64 || len(words[2]) != 64 {
		t.Fatalf("the answer is %q", frozen)
	}
	answered := make(chan error, 1)
	go func() { answered <- g.extend() }()
	select {
	case err := <-answered:
		t.Fatalf("a frozen TPM answers: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if v := l.freeze(2, "0", frozen); v != "" {
		t.Fatalf("thawed: %q", v)
	}
	if err := <-answered; err != nil {
		t.Fatalf("after it was thawed: %v", err)
	}
	if now := g.pcr8(t); now == pcr {
		t.Error("the command that waited was not executed")
	}
	pcr = g.pcr8(t)
	var token [32]byte
	hex.Decode(token[:], []byte(strings.Fields(l.freeze(2, "1", ""))[2]))
	l.end(stop)
	restore := func(vtpm, domain xen.DomID) guest {
		t.Helper()
		stop = l.vtpm(vtpm, disk)
		l.order(func(c *proto.Client) error { return c.Restored(uint16(domain), campaignUUID, token) })
		return guest{l.ctx, l.attach(domain, vtpm, testUUID)}
	}
	g = restore(4, 5)
	if now := g.pcr8(t); now != pcr {
		t.Error("PCR 8 of the restored guest is another")
	}
	if _, err := (tpm2.PolicyGetDigest{PolicySession: session.Handle()}).Execute(g); err != nil {
		t.Errorf("its session: %v", err)
	}
	l.end(stop)
	g = restore(6, 7)
	if now := g.pcr8(t); now == pcr || now == string(make([]byte, 32)) {
		t.Error("the same image a second time finds PCRs that do not say so")
	}
	l.end(stop)
}

// answerOf writes a word for a vTPM's domain, and returns the answer that has a text in it.
func (l *lab) answerOf(id xen.DomID, word, with string) string {
	l.t.Helper()
	store := l.host.Domain(0).Store
	home := fmt.Sprintf("/local/domain/%d/", id)
	if err := store.Write(l.ctx, home+nodeFreeze, word); err != nil {
		l.t.Fatal(err)
	}
	for {
		if v, err := store.Read(l.ctx, home+nodeFrozen); err == nil && v != "" && strings.Contains(v, with) {
			return v
		}
		select {
		case <-time.After(time.Millisecond):
		case <-l.ctx.Done():
			l.t.Fatalf("%s: no answer", word)
		}
	}
}

// freezeOf freezes a vTPM, and returns what it says.
func (l *lab) freezeOf(id xen.DomID) string { return l.answerOf(id, "1", " ") }

// thawOf thaws a vTPM that cannot be, and returns why.
func (l *lab) thawOf(id xen.DomID) string { return l.answerOf(id, "0", "error: ") }
