package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"stubtpm/vtpmmgr/proto"
)

// print prints v as JSON with --json, and otherwise calls human.
func (m *mgrRun) print(v any, human func()) error {
	if !m.o.json {
		human()
		return nil
	}
	e := json.NewEncoder(m.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows in columns.
func (m *mgrRun) table(heads string, rows [][]any, format string) {
	w := tabwriter.NewWriter(m.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heads)
	for _, r := range rows {
		fmt.Fprintf(w, format+"\n", r...)
	}
	w.Flush()
}

// A vtpmView is a vTPM in JSON.
type vtpmView struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	Group       string `json:"group"`
	GroupID     string `json:"group_id"`
	Epoch       uint32 `json:"epoch"`
	Sequence    uint64 `json:"sequence"`
	State       bool   `json:"manufactured"`
	Connected   bool   `json:"connected"`
	Suspended   bool   `json:"suspended"`
	Replace     bool   `json:"replace"`
	Attested    bool   `json:"attested"` // starts of its guests
	Damaged     bool   `json:"damaged"`
	Image       string `json:"image"`
	Clock       uint64 `json:"clock_ms"`
	ResetCount  uint32 `json:"reset_count"`
	FailedTries uint32 `json:"failed_tries"`
}

func (v *vtpmView) state() string {
	s := "not manufactured"
	if v.Damaged {
		return "damaged"
	}
	if v.State {
		s = fmt.Sprintf("state %d", v.Sequence)
	}
	if v.Suspended {
		s += ", suspended"
	}
	if v.Connected {
		s += ", connected"
	}
	return s
}

// views returns all vTPMs.
func (m *mgrRun) views() (all []vtpmView, err error) {
	names, err := m.groupNames()
	if err != nil {
		return nil, err
	}
	entries, err := m.c.List()
	if err != nil {
		return nil, err
	}
	all = []vtpmView{}
	for _, e := range entries {
		v := vtpmView{UUID: e.UUID.String(), Name: e.Name, Group: names[e.Group], GroupID: groupID(e.Group), Epoch: e.Epoch, Sequence: e.Sequence, State: e.State,
			Connected: e.Connected, Suspended: e.Suspended, Replace: e.Replace, Attested: e.Attested, Damaged: e.Damaged,
			Clock: e.Floors.Clock, ResetCount: e.Floors.ResetCount, FailedTries: e.Floors.FailedTries}
		if e.Image != [32]byte{} {
			v.Image = hex.EncodeToString(e.Image[:])
		}
		all = append(all, v)
	}
	return all, nil
}

func groupID(id uint32) string { return fmt.Sprintf("%08x", id) }

// groupNames returns the names of the groups by ID.
func (m *mgrRun) groupNames() (map[uint32]string, error) {
	groups, err := m.c.Groups()
	names := map[uint32]string{}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	return names, err
}

// findGroup returns the group with the given name or hexadecimal ID.
func (m *mgrRun) findGroup(name string) (*proto.Group, error) {
	groups, err := m.c.Groups()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(groups, func(g proto.Group) bool { return g.Name == name || groupID(g.ID) == name })
	if i < 0 {
		return nil, fmt.Errorf("group %q: %w", name, proto.NoGroup)
	}
	return &groups[i], nil
}
