package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/drivers/block"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

type hardware struct{ d *vtpm.Device }

func (h hardware) Send(b []byte) ([]byte, error) { return h.d.Execute(0, b), nil }

type noStore struct{}

func (noStore) Save([]byte) error { return nil }

// A host has a manager, and an administrator at a shell.
type host struct {
	t    *testing.T
	cfg  vtpmmgr.Config
	m    *vtpmmgr.Manager
	dir  string
	gone bool // the manager is not reached
}

const testUUID = "6f3b2a10-0000-4000-8000-000000000001"

// newHost sets a manager up with a key of keygen's.
func newHost(t *testing.T, operator *ecdsa.PublicKey) *host {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0})
	h := &host{t: t, dir: t.TempDir(), cfg: vtpmmgr.Config{TPM: hardware{d}, Disk: block.NewMem(256 << 10), Log: t.Logf}}
	word := h.do("keygen", h.file("admin"))
	key, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(word), "admin="))
	if err != nil {
		t.Fatal(err)
	}
	if h.m, err = vtpmmgr.Initialise(h.cfg, vtpmmgr.Setup{Admin: key, PCRs: []uint{7}, Operator: operator}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) file(name string) string { return filepath.Join(h.dir, name) }

// run runs an order and returns its exit code and what it printed.
func (h *host) run(stdin string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	reach := func(domain string, run func(c *proto.Client) error) error {
		if h.gone {
			return errReach{errors.New("no domain of the name " + domain)}
		}
		s, err := h.m.Open(vtpmmgr.Peer{})
		if err != nil {
			return err
		}
		defer s.Close()
		return run(&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }})
	}
	code = mgrWith(reach, args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// do runs an order, with the administrator's key, that has to be carried out.
func (h *host) do(args ...string) string {
	h.t.Helper()
	code, out, errs := h.run("", append([]string{"-key", h.file("admin")}, args...)...)
	if code != exitOK {
		h.t.Fatalf("stubtpm mgr %s: code %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// refused runs an order that must end with a code, and say why.
func (h *host) refused(want int, why string, args ...string) {
	h.t.Helper()
	code, _, errs := h.run("", append([]string{"-key", h.file("admin")}, args...)...)
	if code != want || !strings.Contains(errs, why) {
		h.t.Errorf("stubtpm mgr %s: code %d, %s; want %d, %q", strings.Join(args, " "), code, errs, want, why)
	}
}

func (h *host) json(v any, args ...string) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.do(append([]string{"-json"}, args...)...)), v); err != nil {
		h.t.Fatalf("%v: %v", args, err)
	}
}

// commit is what a vTPM's domain does.
func (h *host) commit(states uint64) {
	h.t.Helper()
	u, _ := proto.ParseUUID(testUUID)
	s, err := h.m.Open(vtpmmgr.Peer{Domain: 5, UUID: u})
	if err != nil {
		h.t.Fatal(err)
	}
	defer s.Close()
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := c.Load()
	for n := range states {
		err = errors.Join(err, c.Commit(&proto.State{Sequence: g.State.Sequence + n + 1, Hash: [32]byte{byte(n)}, Key: [32]byte{9}}))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestOrders(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.do("enroll", testUUID, "-name", "mail", "-replace")
	h.refused(exitRefused, "exists already", "enroll", testUUID)
	h.refused(exitUsage, "UUID", "enroll", "nonsense")
	h.refused(exitUsage, "usage", "enroll")
	h.refused(exitUsage, "usage", "list", "too many")
	h.refused(exitUsage, "unknown order", "nonsense")
	h.refused(exitRefused, "no such group", "enroll", testUUID, "-group", "none")
	h.refused(exitRefused, "not enrolled", "show", "00000000-0000-0000-0000-00000000000f")
	h.commit(2)
	var all []vtpmView
	h.json(&all, "list")
	want := vtpmView{UUID: testUUID, Name: "mail", Group: "default", Sequence: 2, State: true, Replace: true}
	if len(all) != 1 || all[0] != want {
		t.Errorf("list: %+v", all)
	}
	if out := h.do("list"); !strings.Contains(out, testUUID+"  default  0      state 2  mail") {
		t.Errorf("list:\n%s", out)
	}
	h.do("suspend", testUUID)
	if out := h.do("show", testUUID); !strings.Contains(out, "state 2, suspended") {
		t.Errorf("show:\n%s", out)
	}
	h.do("resume", testUUID)
	image := strings.Repeat("ab", 32)
	h.do("amend", testUUID, "-image", image, "-name", "mail 2")
	var v vtpmView
	h.json(&v, "show", testUUID)
	if v.Image != image || v.Name != "mail 2" || v.Replace || v.Suspended {
		t.Errorf("show: %+v", v)
	}
	h.do("measured", "5", image)
	h.commit(1)

	var s map[string]string
	h.json(&s, "status")
	if s["vtpms"] != "1" || s["tpm"] != "ok" || len(s["audit-key"]) != 64 {
		t.Errorf("status: %v", s)
	}
	h.do("audit", "-o", h.file("log"))
	if out := h.do("audit-verify", "-audit-key", s["audit-key"], h.file("log")); !strings.Contains(out, "whole") {
		t.Errorf("audit-verify: %s", out)
	}
	log, err := os.ReadFile(h.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"edited":  bytes.Replace(log, []byte(hex.EncodeToString([]byte("suspend"))), []byte(hex.EncodeToString([]byte("resumed"))), 1),
		"cut":     bytes.Replace(log, []byte(`"next": `), []byte(`"next": 1`), 1),
		"garbage": log[:len(log)/2],
	} {
		if bytes.Equal(bad, log) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(h.file(name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		h.refused(exitForged, "audit log", "audit-verify", h.file(name))
	}
	h.refused(exitForged, "signature", "audit-verify", "-audit-key", image, h.file("log"))

	// Confirmation, by a human or by a flag.
	if code, _, errs := h.run("no\n", "-key", h.file("admin"), "destroy", testUUID); code != exitFail || !strings.Contains(errs, "not confirmed") {
		t.Errorf("destroy, no: %d, %s", code, errs)
	}
	if code, _, errs := h.run("yes\n", "-key", h.file("admin"), "destroy", testUUID); code != exitOK {
		t.Errorf("destroy, yes: %d, %s", code, errs)
	}
	h.refused(exitRefused, "not enrolled", "destroy", "-yes", testUUID)
	if out := h.do("-json", "list"); strings.TrimSpace(out) != "[]" {
		t.Errorf("list: %s", out)
	}

	// Keys: none, another's, what is none; and a manager that is not there.
	h.do("keygen", h.file("stranger"))
	h.refused(exitFail, "exists", "keygen", h.file("stranger"))
	h.refused(exitRefused, "signature", "-key", h.file("stranger"), "list")
	h.refused(exitFail, "no such file", "-key", h.file("nothing"), "list")
	h.refused(exitFail, "not a PEM file", "-key", h.file("log"), "list")
	h.gone = true
	h.refused(exitNoReach, "no domain", "status")
}

// TestRescue follows docs/admin.md: backup and restore, an old disk, a lost host.
func TestRescue(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	escrowPublic := strings.TrimSpace(h.do("escrow-keygen", h.file("escrow")))
	h.refused(exitUsage, "-escrow and -o", "group-create", "kept", "-escrow", escrowPublic)
	id := strings.TrimSpace(h.do("group-create", "kept", "-escrow", escrowPublic, "-o", h.file("kept")))
	h.do("enroll", testUUID, "-group", "kept")
	h.commit(3)
	h.refused(exitUsage, "-o FILE", "backup", testUUID)
	h.do("backup", testUUID, "-o", h.file("backup"))
	h.refused(exitFail, "exists", "backup", testUUID, "-o", h.file("backup"))
	h.commit(2)
	if out := h.do("restore", h.file("backup")); !strings.Contains(out, "epoch 1") {
		t.Errorf("restore: %s", out)
	}
	h.refused(exitRefused, "backup is not", "restore", h.file("kept"))

	// The manager's own disk of before.
	disk := h.cfg.Disk.(*block.Mem)
	old := bytes.Clone(disk.Data)
	h.do("suspend", testUUID)
	copy(disk.Data, old)
	_, err := vtpmmgr.Open(h.cfg)
	var manager, counter string
	if !errors.Is(err, ledger.ErrRolledBack) {
		t.Fatal(err)
	}
	text := err.Error()
	if _, err := fmt.Sscanf(text[strings.Index(text, "manager "):], "manager %32s counter %s", &manager, &counter); err != nil {
		manager, counter, _ = strings.Cut(text[strings.Index(text, "manager ")+8:], ", counter ")
	}
	word := strings.TrimSpace(h.do("restore-word", "-manager", manager, "-counter", counter))
	sig, err := hex.DecodeString(strings.TrimPrefix(word, "restore="))
	if err != nil {
		t.Fatal(err)
	}
	if h.m, err = vtpmmgr.OpenRestored(h.cfg, sig); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	h.refused(exitUsage, "-manager", "restore-word")

	// Another host.
	h2 := newHost(t, nil)
	var s map[string]string
	h2.json(&s, "status")
	h2.refused(exitRefused, "no such group", "restore", h.file("backup"))
	h.do("escrow-reseal", h.file("kept"), "-escrow-key", h.file("escrow"), "-recovery", s["recovery-key"], "-o", h.file("resealed"))
	h2.refused(exitRefused, "not of this manager", "group-import", "kept", h.file("kept"), "-escrow", escrowPublic)
	h2.do("group-import", "kept", h.file("resealed"), "-escrow", escrowPublic)
	var g []groupView
	h2.json(&g, "groups")
	if len(g) != 2 || g[1] != (groupView{ID: id, Name: "kept", Escrow: escrowPublic}) {
		t.Errorf("groups: %+v", g)
	}
	h2.do("restore", h.file("backup"))
	if out := h2.do("list"); !strings.Contains(out, "state 3") {
		t.Errorf("list:\n%s", out)
	}
	h2.do("group-amend", "kept", "-name", "moved", "-labels", "a,b")
	if out := h2.do("groups"); !strings.Contains(out, "moved") || !strings.Contains(out, "a,b") {
		t.Errorf("groups:\n%s", out)
	}
}

func TestApproveFile(t *testing.T) {
	t.Parallel()
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, &operator.PublicKey)
	der, err := x509.MarshalECPrivateKey(operator)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.file("operator"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	value := sha256.Sum256(nil)
	h.do("approve-sign", fmt.Sprintf("7=%x", value), "-operator-key", h.file("operator"), "-o", h.file("approval"))
	h.refused(exitUsage, "want a PCR", "approve-sign", "7=12", "-operator-key", h.file("operator"), "-o", h.file("x"))
	h.do("approve", h.file("approval"))
	other := newHost(t, nil)
	other.refused(exitRefused, "approval is not", "approve", h.file("approval"))
}

// TestApprover has a group's approver give orders, who is not the
// administrator.
func TestApprover(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.do("keygen", h.file("tenant"))
	id := strings.TrimSpace(h.do("group-create", "tenant", "-approver", h.file("tenant")))
	h.refused(exitRefused, "signature", "enroll", testUUID, "-group", "tenant")
	h.do("-key", h.file("tenant"), "enroll", testUUID, "-group", id)
	h.refused(exitRefused, "signature", "destroy", "-yes", testUUID)
	h.do("-key", h.file("tenant"), "destroy", "-yes", testUUID)
}

// TestTables holds what comes from the tables against them, and against a
// shell.
func TestTables(t *testing.T) {
	t.Parallel()
	flags := flagTable()
	h := &host{t: t, dir: t.TempDir()}
	code, help, _ := h.run("", "help")
	if code != exitOK {
		t.Errorf("help: %d", code)
	}
	man := string(manPage())
	for _, o := range orders() {
		for _, f := range strings.Fields(o.flags) {
			if _, ok := flags[f]; !ok {
				t.Errorf("%s: no flag %s", o.name, f)
			}
		}
		if !strings.Contains(help, "  "+o.name) {
			t.Errorf("%s is not in the help", o.name)
		}
		if !strings.Contains(man, `\fB`+roff(o.name)+`\fR`) {
			t.Errorf("%s is not in the manual page", o.name)
		}
		if code, _, errs := h.run("", o.name, "-help"); code != exitOK || !strings.Contains(errs, "usage: stubtpm mgr "+o.name) {
			t.Errorf("%s -help: %d, %s", o.name, code, errs)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := h.run("", "completion", shell)
		if code != exitOK || !strings.Contains(out, "group-create") || !strings.Contains(out, "escrow-key") {
			t.Errorf("%s: %d, %s%s", shell, code, out, errs)
		}
		if shell != "bash" {
			continue
		}
		script := out + `
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _stubtpm; echo "${COMPREPLY[@]}"; }
try stubtpm mg
try stubtpm mgr enr
try stubtpm mgr -json enroll -rep
`
		b, err := exec.Command("bash", "-c", script).CombinedOutput()
		if err != nil || string(b) != "mgr\nenroll\n-replace\n" {
			t.Errorf("bash completes %q, %v", b, err)
		}
	}
	if code, _, _ := h.run("", "completion", "tcsh"); code != exitUsage {
		t.Errorf("completion for tcsh: %d", code)
	}
	if code, _, errs := h.run("", "man", h.dir); code != exitOK {
		t.Errorf("man: %d, %s", code, errs)
	}
	config := []string{"xl-config", "mail", testUUID, "-manager-disk", "/dev/vg/mgr", "-vtpm-disk", "/dev/vg/mail", "-o", h.dir}
	if code, out, errs := h.run("", config...); code != exitOK || strings.Count(out, "\n") != 3 {
		t.Errorf("xl-config: %d, %s%s", code, out, errs)
	}
	if code, _, errs := h.run("", append(config, "-words", "init")...); code != exitFail || !strings.Contains(errs, "differs") {
		t.Errorf("xl-config over another: %d, %s", code, errs)
	}
}

func FuzzAuditFile(f *testing.F) {
	f.Add([]byte(`{"manager":"00","entries":[{"raw":"00"}]}`))
	f.Add([]byte(fmt.Sprintf(`{"manager":"%032x","audit_key":"%064x","next":1,"hash":"%064x","signature":"%0128x","entries":[{"raw":"00"}]}`, 0, 0, 0, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, entries, h, err := readAudit(b); err == nil {
			if err := proto.VerifyAudit(ed25519.PublicKey(key[:]), h, entries); err == nil && len(entries) > 0 {
				t.Log("a whole log")
			}
		}
	})
}
