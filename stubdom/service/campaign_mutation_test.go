package service

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutation breaks the code on purpose: the campaign has to notice.
type mutation struct {
	name, file, old, new string
}

const (
	ledgerOpen   = "vtpmmgr/ledger/open.go"
	ledgerRoots  = "vtpmmgr/ledger/roots.go"
	ledgerCommit = "vtpmmgr/ledger/commit.go"
	ledgerPlaces = "vtpmmgr/ledger/store.go"
	ledgerWrite  = "vtpmmgr/ledger/write.go"
	ledgerQueue  = "vtpmmgr/ledger/queue.go"
	ledgerAnchor = "vtpmmgr/ledger/anchor.go"
	diskHeader   = "stubdom/statedisk/header.go"
	diskSave     = "stubdom/statedisk/save.go"
	vtpmFile     = "stubdom/service/ledgerstore.go"
	vtpmDevice   = "stubdom/service/device.go"
)

var mutations = []mutation{
	{"the guard is off: any authentic ledger is taken", ledgerRoots,
		"committed := r.isCommitted(f.encoded, s.value)", "committed := true"},
	{"a strict commit is not anchored", ledgerCommit,
		"if err == nil && how != deferred {", "if err == nil && how != deferred && false {"},
	{"the ledger does not flush", ledgerWrite,
		"if err := s.cfg.Disk.Flush(); err != nil {", "if err := error(nil); err != nil {"},
	{"the ledger overwrites the slot in use", ledgerPlaces,
		"return 1 - p.slot", "return p.slot"},
	{"the ledger overwrites the root in use", ledgerWrite,
		"s.writeAt(a.encoded, rootAt(1-s.rootSlot, copy))", "s.writeAt(a.encoded, rootAt(s.rootSlot, copy))"},
	{"the state disk overwrites the slot in use", diskSave,
		"if d.current == 0 {", "if d.current != 0 {"},
	{"the state disk does not flush a header", diskHeader,
		"if err := d.dev.Flush(); err != nil {", "if err := error(nil); err != nil {"},
	{"a strict commit is answered before it is anchored", ledgerCommit,
		"!s.chainOpen:\n\t\treturn checkpoint", "!s.chainOpen:\n\t\treturn deferred"},
	{"a link is not made", ledgerAnchor,
		"if err = s.cfg.Anchor.Link(d); err == nil {", "if err = error(nil); err == nil {"},
	{"a start after a reset makes no checkpoint", ledgerOpen,
		"s.chainOpen = s.root.mode.Daily != 0 && s.root.boot == s.boot", "s.chainOpen = s.root.mode.Daily != 0"},
	{"each start is taken for one after a reset", ledgerRoots,
		"case r.boot != s.boot:", "case r.boot == s.boot:"},
	{"a root need not be linked", ledgerRoots,
		"linked := extend(r.pcrBase, sha256.Sum256(f.encoded)) == s.pcr", "linked := true || sha256.Sum256(nil) == s.pcr"},
	{"a root need not be of this checkpoint", ledgerRoots,
		"return committed || r.base == s.value\n\tcase r.pcr", "return true\n\tcase r.pcr"},
	{"an orderly end makes no checkpoint", ledgerQueue,
		"default:\n\t\t\terr = s.checkpoint()", "default:\n\t\t\terr = nil"},
	{"a checkpoint is not counted on", ledgerAnchor,
		"s.value, s.chainOpen = next, true", "s.chainOpen = true"},
	{"what is urgent is only linked", ledgerCommit,
		"if s.grant(w.class, s.root.mode.Daily) {", "if s.grant(w.class, s.root.mode.Daily) && false {"},
	{"the guest is answered, and the manager not told", vtpmFile,
		"if err = commit(&next); err == nil {", "if err == nil {"},
	{"what is volatile stays in the ledger", vtpmDevice,
		"if err := o.store.saveUrgent(s.permanent); err != nil {", "if err := error(nil); err != nil {"},
	{"what is volatile is served before the ledger is changed", vtpmDevice,
		"if err := o.store.saveUrgent(s.permanent); err != nil {", "if err := o.store.saveUrgent(s.permanent); err != nil && false {"},
	{"a loss of power brings back what is volatile", vtpmFile,
		"return s.save(state, s.manager.CommitUrgent) }", "return s.save(state, s.manager.Commit) }"},
}

// TestMutations makes sure that TestCampaign fails on each mutation. With
// -short it only looks whether the places are still there.
func TestMutations(t *testing.T) {
	t.Parallel()
	const root = "../.."
	for _, m := range mutations {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			file, err := filepath.Abs(filepath.Join(root, m.file))
			if err != nil {
				t.Fatal(err)
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(src), m.old) {
				t.Fatalf("%q is not in %s", m.old, m.file)
			}
			if testing.Short() {
				return
			}
			t.Parallel()
			dir := t.TempDir()
			mutant, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
			text, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(mutant, []byte(strings.ReplaceAll(string(src), m.old, m.new)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, text, 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"test", "-overlay", overlay, "-count", "1", "-vet", "off", "-failfast", "-run", "^TestCampaign(Disks|Suspended)?$", "-v"}
			if os.Getenv("STUBTPM_CAMPAIGN") == "" {
				args = append(args, "-short") // finds them all, in seconds
			}
			c := exec.Command("go", append(args, ".")...)
			out, err := c.CombinedOutput()
			if err == nil {
				t.Fatal("the campaign found nothing")
			}
			if !strings.Contains(string(out), "--- FAIL: TestCampaign") {
				t.Fatalf("it did not run: %v\n%s", err, out)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if strings.Contains(line, "accidents,") || strings.Contains(line, "campaign") && (strings.Contains(line, "command ") || strings.Contains(line, "disk ")) {
					t.Log(strings.TrimSpace(line))
					if !strings.Contains(line, "accidents,") {
						break
					}
				}
			}
		})
	}
}
