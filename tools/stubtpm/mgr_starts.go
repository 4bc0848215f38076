package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"stubtpm/vtpmmgr/proto"
)

// startsOf returns what a value of --starts asks for.
func startsOf(s string) (attested, measured bool, err error) {
	switch s {
	case "plain":
	case "attested":
		attested = true
	case "measured":
		attested, measured = true, true
	default:
		err = fmt.Errorf("%w: --starts %s: want measured, attested or plain", errUsage, s)
	}
	return attested, measured, err
}

func startsName(attested, measured bool) string {
	switch {
	case measured:
		return "measured"
	case attested:
		return "attested"
	}
	return "plain"
}

// readPrograms returns the hashes of a list of hashes and of files that have one at the
// beginning of each line. Empty lines, and those that begin with #, are ignored.
func readPrograms(list string) (all [][32]byte, err error) {
	if list == "" || list == "any" {
		return nil, nil
	}
	for _, item := range strings.Split(list, ",") {
		if b, err := hex.DecodeString(item); err == nil && len(b) == 32 {
			all = append(all, [32]byte(b))
			continue
		}
		text, err := os.ReadFile(item)
		if err != nil {
			return nil, err
		}
		lines, err := programLines(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item, err)
		}
		all = append(all, lines...)
	}
	for i, p := range all {
		if p == [32]byte{} || slices.Contains(all[:i], p) {
			return nil, fmt.Errorf("%w: --start-images: %x is there twice, or zeros", errUsage, p)
		}
	}
	if len(all) > proto.MaxPrograms {
		return nil, fmt.Errorf("%w: --start-images: %d programs, want at most %d", errUsage, len(all), proto.MaxPrograms)
	}
	return all, nil
}

func programLines(text string) (all [][32]byte, err error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		p, err := hex32("line", f[0])
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, errors.New("no hash in it")
	}
	return all, nil
}

// checkPrograms refuses a list of programs that would never be looked at.
func checkPrograms(e *proto.Enrollment) error {
	if len(e.Programs) > 0 && !e.Measured {
		return fmt.Errorf("%w: --start-images needs --starts measured", errUsage)
	}
	return nil
}

// starts returns how guests were started, by vTPM. A manager of an older version does not
// tell.
func (m *mgrRun) starts() (map[proto.UUID]proto.GuestStart, error) {
	list, err := m.c.Starts()
	if errors.Is(err, proto.BadOrdinal) {
		return nil, nil
	}
	all := map[proto.UUID]proto.GuestStart{}
	for _, s := range list {
		all[s.UUID] = s
	}
	return all, err
}

// programsOf returns the programs that a vTPM's guests may start with.
func (m *mgrRun) programsOf(u proto.UUID) ([][32]byte, error) {
	all, err := m.starts()
	if err != nil {
		return nil, err
	}
	if all[u].Damaged {
		return nil, fmt.Errorf("the programs that its guests may start with cannot be read: give --start-images")
	}
	return all[u].Programs, nil
}

// A guestView is the domain that has a vTPM, in JSON.
type guestView struct {
	Domain   uint16 `json:"domain"`
	Start    string `json:"start"`    // measured, created or unknown
	Program  string `json:"program"`  // SHA-256 of what it started, if measured
	Measurer string `json:"measurer"` // what measured it
	By       string `json:"by"`       // whose key reported that: host or admin
}

func viewGuest(s proto.GuestStart) *guestView {
	if !s.Serves {
		return nil
	}
	v := &guestView{Domain: s.Domain, Start: "unknown"}
	switch {
	case s.Start.Measured:
		v.Start, v.Program, v.Measurer, v.By = "measured", hex.EncodeToString(s.Program.Hash[:]), s.Program.Measurer, "host"
		if s.By == proto.AdminKey {
			v.By = "admin"
		}
	case s.Start.Created:
		v.Start = "created"
	}
	return v
}

// short is what the table of all vTPMs shows of a guest.
func (v *guestView) short() string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%d %s", v.Domain, v.Start)
}

// text is what a table shows of a guest.
func (v *guestView) text() string {
	switch {
	case v == nil:
		return "none"
	case v.Program == "":
		return fmt.Sprintf("domain %d, start %s", v.Domain, v.Start)
	}
	return fmt.Sprintf("domain %d, start measured: %s by %s (%s key)", v.Domain, v.Program, v.Measurer, v.By)
}

// starts is what a table shows of what a record requires.
func (v *vtpmView) starts() string {
	if len(v.Programs) == 0 {
		return v.Starts
	}
	return v.Starts + ": " + strings.Join(v.Programs, ", ")
}
