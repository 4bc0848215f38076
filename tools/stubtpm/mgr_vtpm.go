package main

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"stubtpm/image"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/proto"
)

func (m *mgrRun) uuid() (proto.UUID, error) {
	u, err := proto.ParseUUID(m.args[0])
	if err != nil {
		return u, fmt.Errorf("%w: %w", errUsage, err)
	}
	return u, nil
}

// imageHash returns the hash of an image as loaded into a domain's memory, given as
// hexadecimal, as an image file, or as a manifest that lists the file's name.
func imageHash(s, file string) (hash [32]byte, err error) {
	if s == "" || s == "any" {
		return hash, nil
	}
	if len(s) == 64 {
		if h, err := hex32("image", s); err == nil {
			return h, nil
		}
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return hash, err
	}
	if manifest, err := image.DecodeManifest(b); err == nil {
		for _, e := range manifest.Images {
			if e.Name == path.Base(file) {
				return hex32(s, e.Loaded)
			}
		}
		return hash, fmt.Errorf("%s: no image named %s", s, path.Base(file))
	}
	measured, err := image.Measure(s)
	if err != nil {
		return hash, err
	}
	return hex32(s, measured.Loaded)
}

// enrollment returns what the flags of enroll and amend describe.
func (m *mgrRun) enrollment() (*proto.Enrollment, error) {
	u, err := m.uuid()
	if err != nil {
		return nil, err
	}
	h, err := imageHash(m.o.image, image.VTPMImage)
	if err != nil {
		return nil, err
	}
	if m.given["name"] && (len(m.o.name) > proto.MaxName || !proto.Printable(m.o.name)) {
		return nil, fmt.Errorf("%w: a name has up to %d bytes of printable UTF-8", errUsage, proto.MaxName)
	}
	e := &proto.Enrollment{UUID: u, Replace: m.o.replace, Image: h, Name: m.o.name}
	if e.Attested, e.Measured, err = startsOf(m.o.starts); err != nil {
		return nil, err
	}
	if e.Programs, err = readPrograms(m.o.startImages); err != nil {
		return nil, err
	}
	if m.o.profile != "" {
		p, err := readProfile(m.o.profile)
		if err != nil {
			return nil, err
		}
		var w tcg.Writer
		p.Marshal(&w)
		e.Profile = string(w.B)
	}
	return e, nil
}

func enroll(m *mgrRun) error {
	e, err := m.enrollment()
	if err != nil {
		return err
	}
	// An ID needs no lookup.
	if id, ok := proto.ParseGroupID(m.o.group); ok {
		e.Group = id
	} else if m.o.group != "default" {
		g, err := m.findGroup(m.o.group)
		if err != nil {
			return err
		}
		e.Group = g.ID
	}
	if err := checkPrograms(e); err != nil {
		return err
	}
	return m.c.Enroll(e)
}

// amend changes what the flags on the command line name; the rest is kept.
func amend(m *mgrRun) error {
	e, err := m.enrollment()
	if err != nil {
		return err
	}
	entries, err := m.c.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(x proto.Entry) bool { return x.UUID == e.UUID })
	if i < 0 {
		return proto.NotEnrolled
	}
	old := entries[i]
	e.Group = old.Group
	if !m.given["image"] {
		e.Image = old.Image
	}
	if !m.given["name"] {
		e.Name = old.Name
	}
	if !m.given["replace"] {
		e.Replace = old.Replace
	}
	if !m.given["starts"] {
		e.Attested, e.Measured = old.Attested, old.Measured
	}
	if e.Measured && !m.given["start-images"] {
		if e.Programs, err = m.programsOf(e.UUID); err != nil {
			return err
		}
	}
	if err := checkPrograms(e); err != nil {
		return err
	}
	return m.c.Amend(e)
}

// uuidOrder makes an order about one vTPM without a result.
func uuidOrder(f func(m *mgrRun, u proto.UUID) error) func(m *mgrRun) error {
	return func(m *mgrRun) error {
		u, err := m.uuid()
		if err != nil {
			return err
		}
		return f(m, u)
	}
}

func suspend(m *mgrRun, u proto.UUID) error { return m.c.Suspend(u) }
func resume(m *mgrRun, u proto.UUID) error  { return m.c.Resume(u) }

func destroy(m *mgrRun) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	if !m.o.yes {
		fmt.Fprintf(m.stderr, "The state of %v will be lost permanently. Type yes: ", u)
		line, _ := m.stdin.ReadString('\n')
		if strings.TrimSpace(line) != "yes" {
			return fmt.Errorf("not confirmed; nothing was changed")
		}
	}
	return m.c.Destroy(u)
}

func list(m *mgrRun) error {
	all, err := m.views()
	if err != nil {
		return err
	}
	return m.print(all, func() {
		var rows [][]any
		for _, v := range all {
			rows = append(rows, []any{v.UUID, v.Group, v.Epoch, v.state(), v.Starts, v.Guest.short(), v.Name})
		}
		m.table("UUID\tGROUP\tEPOCH\tSTATE\tSTARTS\tGUEST\tNAME", rows, "%s\t%s\t%d\t%s\t%s\t%s\t%s")
	})
}

func show(m *mgrRun) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	all, err := m.views()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v vtpmView) bool { return v.UUID == u.String() })
	if i < 0 {
		return proto.NotEnrolled
	}
	v := all[i]
	return m.print(v, func() {
		wanted := "any"
		if v.Image != "" {
			wanted = v.Image
		}
		m.table("UUID\t"+v.UUID, [][]any{
			{"Name", v.Name}, {"Group", fmt.Sprintf("%s (%s)", v.Group, v.GroupID)}, {"State", v.state()}, {"Epoch", v.Epoch}, {"Image", wanted}, {"Replace", v.Replace},
			{"Starts", v.starts()}, {"Guest", v.Guest.text()},
			{"Clock", fmt.Sprintf("%d ms", v.Clock)}, {"Reset count", v.ResetCount}, {"Failed tries", v.FailedTries},
		}, "%v\t%v")
	})
}

func backup(m *mgrRun) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	if m.o.output == "" {
		return fmt.Errorf("%w: -o is required", errUsage)
	}
	b, err := m.c.Backup(u)
	if err != nil {
		return err
	}
	return writeNew(m.o.output, b)
}

// A restoreView is a restored vTPM in JSON.
type restoreView struct {
	UUID  string `json:"uuid"`
	Epoch uint32 `json:"epoch"`
}

func restore(m *mgrRun) error {
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	if len(b) > proto.MaxSize-256 {
		return fmt.Errorf("%s is not a backup: %d bytes is too large", m.args[0], len(b))
	}
	u, epoch, err := m.c.Restore(b)
	if err != nil {
		return err
	}
	return m.print(restoreView{u.String(), epoch}, func() { fmt.Fprintf(m.out, "%v is now in epoch %d\n", u, epoch) })
}
