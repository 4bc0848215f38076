package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"stubtpm/image"
	"stubtpm/vtpmmgr/proto"
)

func (m *mgrRun) uuid() (proto.UUID, error) {
	u, err := proto.ParseUUID(m.args[0])
	if err != nil {
		return u, fmt.Errorf("%w: %w", errUsage, err)
	}
	return u, nil
}

// imageHash reads the hash of an image as a domain's memory has it, or takes
// it of a file.
func imageHash(s string) (hash [32]byte, err error) {
	if s == "" {
		return hash, nil
	}
	if len(s) == 64 {
		if h, err := hex32("image", s); err == nil {
			return h, nil
		}
	}
	measured, err := image.Measure(s)
	if err != nil {
		return hash, err
	}
	return hex32(s, measured.Loaded)
}

// enrolment reads what enroll and amend are told.
func (m *mgrRun) enrolment() (*proto.Enrolment, error) {
	u, err := m.uuid()
	if err != nil {
		return nil, err
	}
	h, err := imageHash(m.o.image)
	if err != nil {
		return nil, err
	}
	if len(m.o.name) > proto.MaxName {
		return nil, fmt.Errorf("%w: a name has up to %d bytes", errUsage, proto.MaxName)
	}
	return &proto.Enrolment{UUID: u, Replace: m.o.replace, Image: h, Name: m.o.name}, nil
}

func enroll(m *mgrRun) error {
	e, err := m.enrolment()
	if err != nil {
		return err
	}
	// An approver may enroll without the right to list groups, by the id.
	if id, err := strconv.ParseUint(m.o.group, 16, 32); err == nil && len(m.o.group) == 8 {
		e.Group = uint32(id)
	} else if m.o.group != "default" {
		g, err := m.findGroup(m.o.group)
		if err != nil {
			return err
		}
		e.Group = g.ID
	}
	return m.c.Enroll(e)
}

func amend(m *mgrRun) error {
	e, err := m.enrolment()
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
	e.Group = entries[i].Group
	return m.c.Amend(e)
}

// uuidOrder is an order about one vTPM that has no answer.
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
		fmt.Fprintf(m.stderr, "The state of %v will be lost for ever. Type yes: ", u)
		line, _ := m.stdin.ReadString('\n')
		if strings.TrimSpace(line) != "yes" {
			return fmt.Errorf("not confirmed: nothing was done")
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
			rows = append(rows, []any{v.UUID, v.Group, v.Epoch, v.state(), v.Name})
		}
		m.table("UUID\tGROUP\tEPOCH\tSTATE\tNAME", rows, "%s\t%s\t%d\t%s\t%s")
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
			{"Name", v.Name}, {"Group", v.Group}, {"State", v.state()}, {"Epoch", v.Epoch}, {"Image", wanted}, {"Replace", v.Replace},
			{"Clock", fmt.Sprintf("%d ms", v.Clock)}, {"Reset count", v.ResetCount}, {"Failed tries", v.FailedTries},
		}, "%v\t%v")
	})
}

func status(m *mgrRun) error {
	s, err := m.c.Status()
	if err != nil {
		return err
	}
	g, err := m.c.Hello()
	if err != nil {
		return err
	}
	s["counter"] = strconv.FormatUint(g.Counter, 10)
	s["recovery-key"], s["audit-key"] = hex.EncodeToString(g.Recovery[:]), hex.EncodeToString(g.Audit[:])
	for name, value := range s {
		// Refusals are counted by the number of their status.
		if number, ok := strings.CutPrefix(name, "refused-"); ok {
			if n, err := strconv.ParseUint(number, 10, 32); err == nil {
				delete(s, name)
				s["refused: "+strings.TrimPrefix(proto.Code(n).Error(), "vtpmmgr: ")] = value
			}
		}
	}
	return m.print(s, func() {
		var rows [][]any
		for name, value := range s {
			rows = append(rows, []any{name, value})
		}
		slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
		m.table("WHAT\tVALUE", rows, "%s\t%s")
	})
}

func measured(m *mgrRun) error {
	id, err := strconv.ParseUint(m.args[0], 10, 16)
	if err != nil {
		return fmt.Errorf("%w: %q is not the number of a domain", errUsage, m.args[0])
	}
	h, err := imageHash(m.args[1])
	if err != nil {
		return err
	}
	return m.c.Measured(uint16(id), h)
}

func backup(m *mgrRun) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	if m.o.output == "" {
		return fmt.Errorf("%w: -o FILE is missing", errUsage)
	}
	b, err := m.c.Backup(u)
	if err != nil {
		return err
	}
	return writeNew(m.o.output, b)
}

func restore(m *mgrRun) error {
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	if len(b) > proto.MaxSize-256 {
		return fmt.Errorf("%s is no backup: %d bytes", m.args[0], len(b))
	}
	u, epoch, err := m.c.Restore(b)
	if err != nil {
		return err
	}
	return m.print(map[string]any{"uuid": u.String(), "epoch": epoch}, func() { fmt.Fprintf(m.out, "%v is in epoch %d\n", u, epoch) })
}
