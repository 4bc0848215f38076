package main

import (
	"strings"
	"testing"

	"stubtpm/vtpmmgr/proto"
)

// terminalName is a name that writes a line of its own and commands a terminal.
const terminalName = "x\x1b]0;owned\x07\x1b[2J\u009b\u202e\nyy  default  state 9"

// TestNamesOnTheTerminal: whatever names a manager sends, also one that takes any, the
// orders print lines and characters of their own only.
func TestNamesOnTheTerminal(t *testing.T) {
	t.Parallel()
	m := &mgrRun{}
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		m.o.json, m.out = asJSON, &out
		view := vtpmView{UUID: testUUID, Name: terminalName, Group: terminalName}
		err := m.print(view, func() {
			m.table("UUID\tGROUP\tNAME", [][]any{{view.UUID, view.Group, view.Name}}, "%s\t%s\t%s")
		})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for _, l := range lines {
			if !proto.Printable(l) {
				t.Errorf("JSON %v: printed %q", asJSON, l)
			}
		}
		if !asJSON && len(lines) != 2 {
			t.Errorf("%d lines of one vTPM: %q", len(lines), lines)
		}
	}
}

// TestNamesRefused: such a name is refused, by this program and by the manager.
func TestNamesRefused(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil)
	h.do("group", "create", "acme")
	h.refused(exitUsage, "printable", "enroll", testUUID, "--name", terminalName)
	h.refused(exitUsage, "printable", "group", "create", terminalName)
	h.refused(exitUsage, "printable", "group", "amend", "acme", "--name", terminalName)
	h.refused(exitUsage, "printable", "group", "amend", "acme", "--labels", terminalName)
}

// TestGroupNamedAsID: what has the form of an ID is one: a tenant cannot have its group
// taken for another by the name it gives it.
func TestGroupNamedAsID(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil)
	id := func(name string) string { return strings.TrimSpace(h.do("group", "create", name)) }
	one, two := id("one"), id("two")
	h.refused(exitUsage, "hexadecimal", "group", "amend", one, "--name", two)
	h.refused(exitUsage, "hexadecimal", "group", "create", "0123abcd")
	h.do("group", "quota", strings.ToUpper(two), "7")
	h.do("group", "quota", "one", "3")
	h.refused(exitRefused, "no such group", "group", "quota", "0123abcd", "1")
	var groups []struct {
		ID, Name string
		Quota    int
	}
	h.json(&groups, "group", "list")
	for _, g := range groups {
		if want := map[string]int{one: 3, two: 7}[g.ID]; g.Quota != want {
			t.Errorf("group %s has quota %d, want %d", g.Name, g.Quota, want)
		}
	}
}
