package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"stubtpm/vtpmmgr/proto"
)

// print prints v as JSON with --json, and otherwise calls human.
func (m *mgrRun) print(v any, human func()) error {
	if !m.o.json {
		human()
		return nil
	}
	return m.writeJSON(v)
}

// writeJSON writes v as indented JSON in which every character is printable: json.Marshal
// leaves DEL, C1 controls and such characters as U+202E as they are.
func (m *mgrRun) writeJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.out, visibleLines(string(b)))
	return err
}

// visibleLines is proto.Visible for a text of several lines.
func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = proto.Visible(lines[i])
	}
	return strings.Join(lines, "\n")
}

// table prints rows in columns. Texts are printed as proto.Visible returns them: tenants
// choose names, and the manager may be one that takes any.
func (m *mgrRun) table(heads string, rows [][]any, format string) {
	w := tabwriter.NewWriter(m.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heads)
	for _, r := range rows {
		for i, cell := range r {
			if s, ok := cell.(string); ok {
				r[i] = proto.Visible(s)
			}
		}
		fmt.Fprintf(w, format+"\n", r...)
	}
	w.Flush()
}

// A vtpmView is a vTPM in JSON.
type vtpmView struct {
	UUID        string        `json:"uuid"`
	Name        string        `json:"name"`
	Group       string        `json:"group"`
	GroupID     string        `json:"group_id"`
	Epoch       uint32        `json:"epoch"`
	Sequence    uint64        `json:"sequence"`
	State       bool          `json:"manufactured"`
	Connected   bool          `json:"connected"`
	Suspended   bool          `json:"suspended"`
	Replace     bool          `json:"replace"`
	Attested    bool          `json:"attested"`     // starts of its guests
	Starts      string        `json:"starts"`       // plain, attested or measured
	Programs    []string      `json:"start_images"` // that its guests may start with; none for any
	Guest       *guestView    `json:"guest"`        // null for none
	Damaged     bool          `json:"damaged"`
	Moving      *transferView `json:"moving"` // null unless it is not live here, or has an offer
	Image       string        `json:"image"`
	Clock       uint64        `json:"clock_ms"`
	ResetCount  uint32        `json:"reset_count"`
	FailedTries uint32        `json:"failed_tries"`
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
	return s + v.Moving.short()
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
	starts, err := m.starts()
	if err != nil {
		return nil, err
	}
	moving, err := m.transfers()
	if err != nil {
		return nil, err
	}
	all = []vtpmView{}
	for _, e := range entries {
		v := vtpmView{UUID: e.UUID.String(), Name: e.Name, Group: names[e.Group], GroupID: groupID(e.Group), Epoch: e.Epoch, Sequence: e.Sequence, State: e.State,
			Connected: e.Connected, Suspended: e.Suspended, Replace: e.Replace, Attested: e.Attested, Damaged: e.Damaged, Starts: startsName(e.Attested, e.Measured), Programs: []string{}, Guest: viewGuest(starts[e.UUID]), Moving: moving[e.UUID.String()],
			Clock: e.Floors.Clock, ResetCount: e.Floors.ResetCount, FailedTries: e.Floors.FailedTries}
		if e.Image != [32]byte{} {
			v.Image = hex.EncodeToString(e.Image[:])
		}
		for _, p := range starts[e.UUID].Programs {
			v.Programs = append(v.Programs, hex.EncodeToString(p[:]))
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

// findGroup returns the group with the given hexadecimal ID or name. What has the form of
// an ID is one, so that no group's name can stand for another group.
func (m *mgrRun) findGroup(name string) (*proto.Group, error) {
	groups, err := m.c.Groups()
	if err != nil {
		return nil, err
	}
	id, isID := proto.ParseGroupID(name)
	i := slices.IndexFunc(groups, func(g proto.Group) bool {
		if isID {
			return g.ID == id
		}
		return g.Name == name
	})
	if i < 0 {
		return nil, fmt.Errorf("group %q: %w", name, proto.NoGroup)
	}
	return &groups[i], nil
}
