package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/image"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

type hardware struct{ d *vtpm.Device }

func (h hardware) Send(b []byte) ([]byte, error) { return h.d.Execute(0, b), nil }

type noStore struct{}

func (noStore) Save([]byte) error { return nil }

// A site has a manager, and an administrator at a shell.
type site struct {
	t    *testing.T
	cfg  vtpmmgr.Config
	m    *vtpmmgr.Manager
	dir  string
	gone bool // the manager is not reached

	image [32]byte // in the memory of domain 5, vtpm-mail
}

const testUUID = "6f3b2a10-0000-4000-8000-000000000001"

// newSite sets a manager up with a key of keygen's.
func newSite(t *testing.T, operator *ecdsa.PublicKey) *site {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0})
	h := &site{t: t, dir: t.TempDir(), cfg: vtpmmgr.Config{TPM: hardware{d}, Disk: blocktest.NewMem(256 << 10), Log: t.Logf}}
	word := h.do("keygen", h.file("admin"))
	key, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(word), "admin="))
	if err != nil {
		t.Fatal(err)
	}
	if h.m, err = vtpmmgr.Initialize(h.cfg, vtpmmgr.Setup{Admin: key, PCRs: []uint{7}, Operator: operator}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *site) file(name string) string { return filepath.Join(h.dir, name) }

// run runs an order and returns its exit code and what it printed.
func (h *site) run(stdin string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	reach := func(domain string, _ deviceRange, run func(c *proto.Client) error) error {
		if h.gone {
			return reachError{errors.New("no domain of the name " + domain)}
		}
		s, err := h.m.Open(vtpmmgr.Peer{})
		if err != nil {
			return err
		}
		defer s.Close()
		return run(&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }})
	}
	measure := func(domain, file string) (uint16, [32]byte, error) {
		if domain != "vtpm-mail" || file != "vtpm.elf" {
			return 0, [32]byte{}, errors.New("no such domain")
		}
		return 5, h.image, nil
	}
	code = mgrWith(host{reach, measure}, args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// do runs an order, with the administrator's key, that has to be carried out.
func (h *site) do(args ...string) string {
	h.t.Helper()
	code, out, errs := h.run("", append([]string{"-key", h.file("admin")}, args...)...)
	if code != exitOK {
		h.t.Fatalf("stubtpm mgr %s: code %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// refused runs an order that must end with a code, and say why.
func (h *site) refused(want int, why string, args ...string) {
	h.t.Helper()
	code, _, errs := h.run("", append([]string{"-key", h.file("admin")}, args...)...)
	if code != want || !strings.Contains(errs, why) {
		h.t.Errorf("stubtpm mgr %s: code %d, %s; want %d, %q", strings.Join(args, " "), code, errs, want, why)
	}
}

func (h *site) json(v any, args ...string) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.do(append([]string{"-json"}, args...)...)), v); err != nil {
		h.t.Fatalf("%v: %v", args, err)
	}
}

// commit is what a vTPM's domain does.
func (h *site) commit(states uint64) {
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
	h := newSite(t, nil)
	h.do("enroll", testUUID, "-name", "mail", "-replace")
	h.refused(exitRefused, "already exists", "enroll", testUUID)
	h.refused(exitUsage, "UUID", "enroll", "nonsense")
	h.refused(exitUsage, "usage", "enroll")
	h.refused(exitUsage, "usage", "list", "too many")
	h.refused(exitUsage, "unknown order", "nonsense")
	h.refused(exitRefused, "no such group", "enroll", testUUID, "-group", "none")
	h.refused(exitRefused, "not enrolled", "show", "00000000-0000-0000-0000-00000000000f")
	h.commit(2)
	var all []vtpmView
	h.json(&all, "list")
	want := vtpmView{UUID: testUUID, Name: "mail", Group: "default", GroupID: "00000000", Sequence: 2, State: true, Replace: true, Attested: true, Starts: "attested", Programs: []string{}}
	if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("list: %+v", all)
	}
	if out := h.do("list"); !strings.Contains(out, testUUID+"  default  0      state 2  attested  -      mail") {
		t.Errorf("list:\n%s", out)
	}
	h.do("suspend", testUUID)
	if out := h.do("show", testUUID); !strings.Contains(out, "state 2, suspended") {
		t.Errorf("show:\n%s", out)
	}
	h.do("resume", testUUID)
	image := strings.Repeat("ab", 32)
	h.do("amend", testUUID, "-image", image, "--replace=false")
	h.do("amend", testUUID, "--name", "mail 2")
	var v vtpmView
	h.json(&v, "show", testUUID)
	if v.Image != image || v.Name != "mail 2" || v.Replace || v.Suspended {
		t.Errorf("show: %+v", v)
	}
	h.refused(exitFail, "no such domain", "measured", "nobody", "vtpm.elf")
	h.refused(exitUsage, "or --hash", "measured", "5")
	var told measuredView
	h.image = [32]byte{1}
	h.json(&told, "measured", "vtpm-mail", "vtpm.elf")
	if told.Domain != 5 || !strings.HasPrefix(told.Image, "0100") {
		t.Errorf("measured: %+v", told)
	}
	if _, err := h.m.Open(vtpmmgr.Peer{Domain: 5, UUID: proto.UUID{0x6f, 0x3b, 0x2a, 0x10, 6: 0x40, 8: 0x80, 15: 1}}); !errors.Is(err, proto.WrongImage) {
		t.Errorf("connection from another image: %v", err)
	}
	h.do("measured", "5", "--hash", image)
	h.commit(1)
	h.do("amend", testUUID, "--image", "any")
	if h.json(&v, "show", testUUID); v.Image != "" || v.Name != "mail 2" {
		t.Errorf("show: %+v", v)
	}

	var s statusView
	h.json(&s, "status", "--check")
	if s.VTPMs != 1 || s.Connected != 0 || s.TPM != "ok" || s.Anchor != "ok" || s.Guard == "" || len(s.AuditKey) != 64 || s.Refused["13"] != 1 {
		t.Errorf("status: %+v", s)
	}
	if out := h.do("status"); !strings.Contains(out, "1: domain runs another image") || !strings.Contains(out, s.Recovery) {
		t.Errorf("status:\n%s", out)
	}
	h.do("audit-log", "export", "-o", h.file("log"))
	if out := h.do("audit-log", "verify", "-audit-key", s.AuditKey, h.file("log")); !strings.Contains(out, "complete") {
		t.Errorf("audit-log verify: %s", out)
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
		h.refused(exitForged, "audit log", "audit-log", "verify", h.file(name))
	}
	h.refused(exitForged, "not signed by", "audit-log", "verify", "-audit-key", image, h.file("log"))
	if out := h.do("audit-log", "show"); !strings.Contains(out, "suspend") || !strings.Contains(out, testUUID) {
		t.Errorf("audit-log show:\n%s", out)
	}

	// Logs that follow each other, overlap, have a gap, are in the wrong order.
	var v1 auditView
	h.json(&v1, "audit-log", "verify", h.file("log"))
	from := fmt.Sprint(v1.Next)
	h.refused(exitFail, "the next will be", "audit-log", "export", "--from", from)
	h.do("suspend", testUUID)
	h.do("resume", testUUID)
	h.do("audit-log", "export", "--from", from, "-o", h.file("log2"))
	h.do("audit-log", "export", "--from", fmt.Sprint(v1.Next-1), "-o", h.file("overlap"))
	h.do("audit-log", "export", "--from", fmt.Sprint(v1.Next+1), "-o", h.file("gap"))
	for _, name := range []string{"log2", "overlap"} {
		v2 := auditView{}
		h.json(&v2, "audit-log", "verify", h.file("log"), h.file(name))
		if v2.First != v1.First || v2.Next != v1.Next+2 {
			t.Errorf("%s: %+v after %+v", name, v2, v1)
		}
	}
	h.refused(exitForged, "missing", "audit-log", "verify", h.file("log"), h.file("gap"))
	h.refused(exitForged, "older", "audit-log", "verify", h.file("log2"), h.file("log"))
	other := newSite(t, nil)
	other.do("audit-log", "export", "-o", h.file("other"))
	h.refused(exitForged, "belongs to manager", "audit-log", "verify", h.file("other"), h.file("log"))

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
	h.refused(exitRefused, "not signed by", "-key", h.file("stranger"), "list")
	h.refused(exitFail, "no such file", "-key", h.file("nothing"), "list")
	h.refused(exitFail, "not a PEM file", "-key", h.file("log"), "list")
	code, _, errs := h.run("", "-json", "-key", h.file("stranger"), "suspend", testUUID)
	var f failure
	if err := json.Unmarshal([]byte(errs), &f); err != nil || code != exitRefused || f.Status != uint32(proto.Unsigned) ||
		f.Exit != exitRefused || f.Order != "suspend" || f.Hint == "" {
		t.Errorf("error as JSON: code %d, %v, %s", code, err, errs)
	}
	h.gone = true
	h.refused(exitNoReach, "no domain", "status")
}

// TestRescue follows docs/admin.md: backup and restore, an old disk, a lost host.
func TestRescue(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil)
	escrowPublic := strings.TrimSpace(h.do("escrow", "keygen", h.file("escrow")))
	h.refused(exitUsage, "--escrow and -o", "group", "create", "kept", "-escrow", escrowPublic)
	id := strings.TrimSpace(h.do("group", "create", "kept", "-escrow", escrowPublic, "-o", h.file("kept")))
	h.do("enroll", testUUID, "-group", "kept")
	h.commit(3)
	h.refused(exitUsage, "-o is required", "backup", testUUID)
	h.do("backup", testUUID, "-o", h.file("backup"))
	h.refused(exitFail, "exists", "backup", testUUID, "-o", h.file("backup"))
	h.commit(2)
	if out := h.do("restore", h.file("backup")); !strings.Contains(out, "epoch 1") {
		t.Errorf("restore: %s", out)
	}
	h.refused(exitRefused, "backup is damaged", "restore", h.file("kept"))

	// The manager's own disk of before.
	disk := h.cfg.Disk.(*blocktest.Mem)
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
	word := strings.TrimSpace(h.do("restore-ledger", "--manager", manager, "-counter", counter))
	sig, err := hex.DecodeString(strings.TrimPrefix(word, "restore="))
	if err != nil {
		t.Fatal(err)
	}
	if h.m, err = vtpmmgr.OpenRestored(h.cfg, sig); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	h.refused(exitUsage, "--manager", "restore-ledger")

	// Another host.
	h2 := newSite(t, nil)
	var s statusView
	h2.json(&s, "status")
	h2.refused(exitRefused, "no such group", "restore", h.file("backup"))
	if out := h.do("escrow", "open", h.file("kept"), "--escrow-key", h.file("escrow")); !strings.Contains(out, "opens") {
		t.Errorf("escrow open: %s", out)
	}
	h.do("escrow", "keygen", h.file("another"))
	h.refused(exitFail, "sealed key is damaged", "escrow", "open", h.file("kept"), "--escrow-key", h.file("another"))
	h.do("escrow", "reseal", h.file("kept"), "-escrow-key", h.file("escrow"), "-recovery", s.Recovery, "-o", h.file("resealed"))
	h2.refused(exitRefused, "damaged, or of a group", "group", "import", "kept", h.file("kept"), "-escrow", escrowPublic)
	h2.do("group", "import", "kept", h.file("resealed"), "-escrow", escrowPublic)
	var g []groupView
	h2.json(&g, "group", "list")
	if len(g) != 2 || g[1] != (groupView{ID: id, Name: "kept", Escrow: escrowPublic}) {
		t.Errorf("groups: %+v", g)
	}
	h2.do("restore", h.file("backup"))
	if out := h2.do("list"); !strings.Contains(out, "state 3") {
		t.Errorf("list:\n%s", out)
	}
	h2.do("group", "amend", "kept", "-name", "moved", "-labels", "a,b")
	h2.do("group", "amend", "moved", "--name", "moved 2")
	if h2.json(&g, "group", "list"); g[1].Name != "moved 2" || g[1].Labels != "a,b" || g[1].Escrow != escrowPublic {
		t.Errorf("groups: %+v", g)
	}
}

func TestApproveFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "operator")
	out := (&site{t: t, dir: dir}).do("keygen", "--for", "operator", file)
	operator, err := operatorPublic(strings.TrimPrefix(strings.TrimSpace(out), "operator="))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), operator)
	if err != nil {
		t.Fatal(err)
	}
	h := newSite(t, key)
	value := sha256.Sum256(nil)
	h.do("approve-pcrs", "sign", fmt.Sprintf("7=%x", value), "-operator-key", file, "-o", h.file("approval"))
	h.refused(exitUsage, "want PCR=VALUE", "approve-pcrs", "sign", "7=12", "-operator-key", file, "-o", h.file("x"))
	h.refused(exitFail, "not a P-256 key", "approve-pcrs", "sign", fmt.Sprintf("7=%x", value), "-operator-key", h.file("admin"), "-o", h.file("x"))
	h.do("approve-pcrs", "send", h.file("approval"))
	other := newSite(t, nil)
	other.refused(exitRefused, "approval is not", "approve-pcrs", "send", h.file("approval"))
}

// TestInit holds the words of a first start against the keys they are of.
func TestInit(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	h.refused(exitFail, "make one with keygen", "-key", defaultKey, "init")
	admin := strings.TrimSpace(h.do("keygen", h.file("admin")))
	operator := strings.TrimSpace(h.do("keygen", "--for", "operator", h.file("operator")))
	host := strings.TrimSpace(h.do("keygen", "--for", "host", h.file("host")))
	var v wordsView
	h.json(&v, "init", "--operator", h.file("operator"), "--host", h.file("host"), "--pcrs", "0,7", "--guard", "5s")
	if want := "init " + admin + " " + host + " " + operator + " pcrs=0,7 guard=5s"; v.Words != want || v.Later != "guard=5s" {
		t.Errorf("init: %+v, want %s", v, want)
	}
	out := h.do("init", "--operator", strings.TrimPrefix(operator, "operator="), "--host", strings.TrimPrefix(host, "host="))
	if want := "init " + admin + " " + host + " " + operator + "\n"; out != want {
		t.Errorf("init: %s, want %s", out, want)
	}
	for _, args := range [][]string{{"--pcrs", "24"}, {"--pcrs", "0,x"}, {"--guard", "soon"}, {"--guard", "-1s"}} {
		h.refused(exitUsage, args[0]+" "+args[1], append([]string{"init"}, args...)...)
	}
	h.refused(exitFail, "not an Ed25519 key", "init", "--host", h.file("operator"))
	h.refused(exitFail, "not a P-256 key", "init", "--operator", h.file("admin"))
	h.refused(exitUsage, "want admin", "keygen", "--for", "nobody", h.file("nobody"))
	if info, err := os.Stat(h.file("admin")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
}

// TestApprover has a group's approver give orders, who is not the
// administrator.
func TestApprover(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil)
	h.do("keygen", h.file("tenant"))
	id := strings.TrimSpace(h.do("group", "create", "tenant", "-approver", h.file("tenant")))
	h.refused(exitRefused, "not signed by", "enroll", testUUID, "-group", "tenant")
	h.do("-key", h.file("tenant"), "enroll", testUUID, "-group", id)
	h.refused(exitRefused, "not signed by", "destroy", "-yes", testUUID)
	// It sees its own group, and can give it away.
	h.do("enroll", "6f3b2a10-0000-4000-8000-000000000002")
	h.do("-key", h.file("tenant"), "amend", testUUID, "--name", "mine")
	var all []vtpmView
	if h.json(&all, "-key", h.file("tenant"), "list"); len(all) != 1 || all[0].Name != "mine" || all[0].Group != "tenant" {
		t.Errorf("list for a tenant: %+v", all)
	}
	h.do("-key", h.file("tenant"), "group", "amend", "tenant", "--labels", "l")
	h.refused(exitRefused, "no such group", "-key", h.file("tenant"), "group", "amend", "default", "--labels", "l")
	h.do("-key", h.file("tenant"), "destroy", "-yes", testUUID)
}

// TestMessages wants another message for each refusal, and another exit code
// for each kind of end.
func TestMessages(t *testing.T) {
	t.Parallel()
	seen := map[string]proto.Code{}
	for c := proto.BadMessage; c <= proto.MoveRefused; c++ {
		if other, twice := seen[c.Error()]; twice || strings.Contains(c.Error(), "status") {
			t.Errorf("status %d: %q, as %d", c, c, other)
		}
		seen[c.Error()] = c
		if got := exitOf(fmt.Errorf("of an order: %w", c)); got != exitRefused {
			t.Errorf("%v: exit code %d", c, got)
		}
	}
	for c := range hints() {
		if c == proto.OK || c > proto.MoveRefused {
			t.Errorf("a hint for status %d", c)
		}
	}
	codes := map[int]bool{}
	for i, e := range exitCodes() {
		if e.code != i || codes[e.code] {
			t.Errorf("exit code %d at place %d", e.code, i)
		}
		codes[e.code] = true
	}
}

// TestImageHash takes a hash from all that tells one.
func TestImageHash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := strings.Repeat("ab", 32)
	manifest := image.Manifest{Version: 1, Images: []image.Entry{
		{Name: "vtpm.elf", Measurement: image.Measurement{SHA256: strings.Repeat("00", 32), Loaded: want}},
		{Name: "vtpmmgr.elf", Measurement: image.Measurement{SHA256: strings.Repeat("00", 32), Loaded: strings.Repeat("cd", 32)}},
	}}
	b, err := manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "manifest.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{file, want} {
		if got, err := imageHash(s, image.VTPMImage); err != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: %x, %v", s, got, err)
		}
	}
	if got, err := imageHash("any", image.VTPMImage); err != nil || got != [32]byte{} {
		t.Errorf("any: %x, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{file, filepath.Join(dir, "nothing"), want[2:]} {
		if _, err := imageHash(s, image.VTPMImage); err == nil {
			t.Errorf("%s: no error", s)
		}
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
