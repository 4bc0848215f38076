package main

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/proto"
)

// A groupView is a group in JSON.
type groupView struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Approver string `json:"approver"`
	Escrow   string `json:"escrow"`
	Labels   string `json:"labels"`
	Quota    uint32 `json:"quota"` // of vTPMs; 0 is no limit
}

func viewGroup(g *proto.Group) groupView {
	v := groupView{ID: groupID(g.ID), Name: g.Name, Escrow: hex.EncodeToString(g.Escrow), Labels: g.Labels, Quota: g.Quota}
	if g.Approver != [32]byte{} {
		v.Approver = hex.EncodeToString(g.Approver[:])
	}
	return v
}

func groupList(m *mgrRun) error {
	all, err := m.c.Groups()
	if err != nil {
		return err
	}
	views := []groupView{}
	var rows [][]any
	for _, g := range all {
		v := viewGroup(&g)
		views = append(views, v)
		rows = append(rows, []any{v.ID, v.Name, cmp.Or(v.Approver, "administrator"), cmp.Or(v.Escrow, "none"), cmp.Or(v.Labels, "any"), v.Quota})
	}
	return m.print(views, func() { m.table("ID\tNAME\tAPPROVER\tESCROW\tLABELS\tQUOTA", rows, "%s\t%s\t%s\t%s\t%s\t%d") })
}

// group returns the group that the flags describe.
func (m *mgrRun) group(name string) (*proto.Group, error) {
	g := &proto.Group{Name: name, Labels: m.o.labels}
	if !g.Valid() || len(g.Labels) > 2*proto.MaxName {
		return nil, fmt.Errorf("%w: a group's name has 1 to %d bytes of printable UTF-8 and is not 8 hexadecimal digits, as an ID is; labels have up to %d", errUsage, proto.MaxName, 2*proto.MaxName)
	}
	var err error
	if g.Approver, err = publicKey("approver", m.o.approver); err != nil {
		return nil, err
	}
	if m.o.escrow != "" {
		k, err := hex32("escrow", m.o.escrow)
		if err != nil {
			return nil, err
		}
		g.Escrow = k[:]
	}
	return g, nil
}

// An escrowFile is the JSON that group create and escrow reseal write: a group's key,
// sealed.
type escrowFile struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	To     string `json:"sealed_to"`
	Sealed string `json:"sealed_key"`
}

func writeEscrowFile(file string, k escrowFile) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(file, append(b, '\n'))
}

func readEscrowFile(file string) (k escrowFile, id uint32, sealed []byte, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err == nil {
		_, err = fmt.Sscanf(k.Group, "%08x", &id)
	}
	if err == nil {
		sealed, err = hex.DecodeString(k.Sealed)
	}
	if err != nil {
		return k, 0, nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, id, sealed, nil
}

func groupCreate(m *mgrRun) error {
	g, err := m.group(m.args[0])
	if err != nil {
		return err
	}
	if (len(g.Escrow) != 0) != (m.o.output != "") {
		return fmt.Errorf("%w: --escrow and -o need each other", errUsage)
	}
	if m.o.output != "" {
		// Better no group than one whose escrow cannot be written.
		if _, err := os.Lstat(m.o.output); err == nil {
			return fmt.Errorf("%s: %w", m.o.output, os.ErrExist)
		}
	}
	id, sealed, err := m.c.CreateGroup(g)
	if err != nil {
		return err
	}
	g.ID = id
	view := viewGroup(g)
	if len(sealed) != 0 {
		err = writeEscrowFile(m.o.output, escrowFile{Group: view.ID, Name: g.Name, To: hex.EncodeToString(g.Escrow), Sealed: hex.EncodeToString(sealed)})
		if err != nil {
			return fmt.Errorf("the group was made but its escrow was not written: %w; sealed key: %x", err, sealed)
		}
	}
	return m.print(view, func() { fmt.Fprintln(m.out, view.ID) })
}

func groupAmend(m *mgrRun) error {
	old, err := m.findGroup(m.args[0])
	if err != nil {
		return err
	}
	flags, err := m.group(cmp.Or(m.o.name, old.Name))
	if err != nil {
		return err
	}
	old.Name = flags.Name
	if m.given["approver"] {
		old.Approver = flags.Approver
	}
	if m.given["labels"] {
		old.Labels = flags.Labels
	}
	return m.c.AmendGroup(old)
}

func groupQuota(m *mgrRun) error {
	n, err := strconv.ParseUint(m.args[1], 10, 32)
	if err != nil {
		return fmt.Errorf("%w: %q is not a number of vTPMs", errUsage, m.args[1])
	}
	g, err := m.findGroup(m.args[0])
	if err != nil {
		return err
	}
	return m.c.SetQuota(g.ID, uint32(n))
}

func groupImport(m *mgrRun) error {
	_, id, sealed, err := readEscrowFile(m.args[1])
	if err != nil {
		return err
	}
	g, err := m.group(m.args[0])
	if err != nil {
		return err
	}
	if g.ID = id; len(g.Escrow) == 0 {
		return fmt.Errorf("%w: --escrow is required: a group from escrow stays in escrow", errUsage)
	}
	return m.c.ImportGroup(g, sealed)
}

// openEscrowFile opens a group's key with the escrow key.
func (m *mgrRun) openEscrowFile() (k escrowFile, id uint32, key []byte, err error) {
	k, id, sealed, err := readEscrowFile(m.args[0])
	if err != nil {
		return k, 0, nil, err
	}
	private, err := readEscrow(m.o.escrowKey)
	if err != nil {
		return k, 0, nil, err
	}
	key, err = private.Open(id, sealed)
	return k, id, key, err
}

func escrowOpen(m *mgrRun) error {
	if m.o.escrowKey == "" {
		return fmt.Errorf("%w: --escrow-key is required", errUsage)
	}
	k, _, key, err := m.openEscrowFile()
	if err != nil {
		return err
	}
	clear(key)
	return m.print(groupView{ID: k.Group, Name: k.Name, Escrow: k.To}, func() {
		fmt.Fprintf(m.out, "the key of group %s (%s) opens\n", proto.Visible(k.Name), proto.Visible(k.Group))
	})
}

func escrowReseal(m *mgrRun) error {
	if m.o.escrowKey == "" || m.o.recovery == "" || m.o.output == "" {
		return fmt.Errorf("%w: --escrow-key, --recovery and -o are required", errUsage)
	}
	to, err := hex32("recovery", m.o.recovery)
	if err != nil {
		return err
	}
	k, id, key, err := m.openEscrowFile()
	if err != nil {
		return err
	}
	defer clear(key)
	again, err := escrow.Seal(to[:], id, key)
	if err != nil {
		return err
	}
	k.To, k.Sealed = m.o.recovery, hex.EncodeToString(again)
	return writeEscrowFile(m.o.output, k)
}
