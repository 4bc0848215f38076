package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/proto"
)

// admit has a site certify the manager, and returns the file of the site's certificate.
func (h *site) admit(key *ecdsa.PrivateKey, root *x509.Certificate) string {
	h.t.Helper()
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.do("identity", "request", "-o", h.file("request"))
	b, err := os.ReadFile(h.file("request"))
	must(err)
	r, err := identity.ParseRequest(b)
	must(err)
	public, _, err := cert.ParsePublic(r.AK)
	must(err)
	name, err := tpm2.ObjectName(public)
	must(err)
	_, own, err := cert.ParsePublic(r.Certifier)
	must(err)
	now := time.Now()
	der, err := (&cert.Issuer{Certificate: root, Key: key}).Host(own, &cert.HostClaims{Manager: r.Manager, AK: name.Buffer},
		cert.Terms{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	must(err)
	for name, der := range map[string][]byte{"host.pem": der, "site.pem": root.Raw} {
		must(os.WriteFile(h.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	}
	h.do("identity", "certificate", h.file("host.pem"), h.file("site.pem"))
	return h.file("site.pem")
}

// freeze has the vTPM's domain end in order.
func (h *site) freeze() {
	h.t.Helper()
	u, _ := proto.ParseUUID(testUUID)
	s, err := h.m.Open(vtpmmgr.Peer{Domain: 5, UUID: u})
	if err != nil {
		h.t.Fatal(err)
	}
	defer s.Close()
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := c.Load()
	err = errors.Join(err, c.CommitFrozen(&proto.State{Sequence: g.State.Sequence + 1, Hash: [32]byte{1}, Key: [32]byte{9}}))
	if err != nil {
		h.t.Fatal(err)
	}
}

// newPair returns two sites of one certifying site, with the same administrator, and the file
// of its certificate.
func newPair(t *testing.T) (a, b *site, roots string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := cert.Site(key, "site", cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a, b = newSite(t, nil), newSite(t, nil)
	for _, h := range []*site{a, b} {
		roots = h.admit(key, root)
	}
	public := strings.TrimSpace(strings.TrimPrefix(a.do("keygen", a.file("owner"), "-for", "approver"), "approver="))
	for _, h := range []*site{a, b} {
		h.do("group", "create", "mail", "-approver", public)
	}
	return a, b, roots
}

// TestMoveCommands moves a vTPM by the commands of docs/moves.md, each of them twice.
func TestMoveCommands(t *testing.T) {
	t.Parallel()
	a, b, roots := newPair(t)
	owner := a.file("owner")
	a.do("-key", owner, "enroll", testUUID, "-group", "mail")
	a.freeze()
	f, n := a.file, 0
	step := func(h *site, in, out, want string, words ...string) {
		t.Helper()
		for range 2 {
			args := append([]string{"move"}, words...)
			if in != "" {
				args = append(args, f(in))
			}
			if out != "" {
				os.Remove(f(out))
				args = append(args, "-o", f(out))
			}
			if got := h.do(args...); !strings.Contains(got, want) {
				t.Errorf("%v: %q, want %q", args, got, want)
			}
			n++
		}
	}
	step(a, "", "1", "move offer", "request", testUUID)
	step(b, "1", "2", "move order", "offer")
	_, _, others := newPair(t)
	a.refused(exitFail, "the target's evidence", "move", "order", f("2"), "-site", others, "-o", f("x"))
	step(a, "2", "3", "Target", "order", "-site", roots, "-key", owner)
	a.refused(exitFail, "want a request", "move", "offer", f("2"), "-o", f("x"))
	step(a, "3", "4", "sent away", "handover")
	a.refused(exitRefused, "being moved", "amend", testUUID, "-key", owner, "-name", "x")
	if out := a.do("list"); !strings.Contains(out, "sent to ") {
		t.Errorf("list: %s", out)
	}
	var list []transferView
	if a.json(&list, "move", "list"); len(list) != 1 || list[0].State != "sent" || len(list[0].Next) != 3 || list[0].Since == "" {
		t.Errorf("move list: %+v", list)
	}
	os.Remove(f("x"))
	a.do("move", "again", testUUID, "-o", f("x"))
	step(b, "4", "5", "waits", "receipt")
	b.refused(exitRefused, "receipt", "move", "refuse", f("2"), "-o", f("y"))
	b.do("move", "again", testUUID, "-o", f("y"))
	step(a, "5", "6", "has left", "release")
	step(b, "6", "", "live at this host", "finish")
	var v vtpmView
	if b.json(&v, "show", testUUID); v.Moving != nil || v.Sequence != 1 {
		t.Errorf("at the target: %+v", v)
	}
	if a.json(&v, "show", testUUID); v.Moving == nil || v.Moving.State != "gone" {
		t.Errorf("at the source: %+v", v)
	}
	var s statusView
	if a.json(&s, "status"); s.Gone != 1 || s.Sent != 0 {
		t.Errorf("status: %+v", s)
	}
}

// TestMoveCommandsRefused: a move that hangs is ended at the target, and the vTPM goes on.
func TestMoveCommandsRefused(t *testing.T) {
	t.Parallel()
	a, b, _ := newPair(t)
	owner, f := a.file("owner"), a.file
	a.do("-key", owner, "enroll", testUUID, "-group", "mail")
	a.do("move", "targets", testUUID, "-key", owner, "-min-version", "4")
	a.freeze()
	a.do("move", "request", testUUID, "-o", f("1"))
	b.do("move", "offer", f("1"), "-o", f("2"))
	a.do("move", "order", f("2"), "-o", f("3")) // the administrator is not the approver
	a.refused(exitRefused, "not signed by the approver", "move", "handover", f("3"), "-o", f("4"))
	a.do("move", "order", f("2"), "-key", owner, "-o", f("3a"))
	a.refused(exitRefused, "rules do not allow", "move", "handover", f("3a"), "-o", f("4"))
	a.refused(exitRefused, "not signed", "move", "targets", testUUID, "-min-version", "0")
	a.do("move", "targets", testUUID, "-key", owner, "-min-version", "0", "-require-labels", "-managers", strings.Repeat("ab", 16))
	var v targetsView
	if a.json(&v, "move", "targets", testUUID); v.SecurityVersion != 0 || !v.Labels || len(v.Managers) != 1 {
		t.Errorf("targets: %+v", v)
	}
	a.refused(exitUsage, "hexadecimal", "move", "targets", testUUID, "-key", owner, "-places", "ab")
	a.do("move", "targets", testUUID, "-key", owner, "-require-labels=false", "-managers", "any")
	a.do("move", "handover", f("3a"), "-o", f("4"))
	if out := b.do("move", "refuse", f("2"), "-o", f("5")); !strings.Contains(out, "refused: ") {
		t.Errorf("refuse: %s", out)
	}
	if out := b.do("move", "list"); !strings.Contains(out, "refused, made to") {
		t.Errorf("list: %s", out)
	}
	if out := a.do("move", "release", f("5"), "-o", f("6")); !strings.Contains(out, "live at this host") {
		t.Errorf("release: %s", out)
	}
	if _, err := os.Stat(f("6")); err == nil {
		t.Error("a release was written after a refusal")
	}
	a.commit(1)
	if out := b.do("move", "receipt", f("4"), "-o", f("7")); !strings.Contains(out, "refused: ") {
		t.Errorf("the handover afterwards: %s", out)
	}
}
