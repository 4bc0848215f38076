package vtpmmgr

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// newGroup is a group that is to be made, and its key from escrow, if there is
// one.
type newGroup struct {
	proto.Group
	escrow []byte
}

func parseNewGroup(args []byte) (request, error) {
	p, rest, err := proto.ParseGroup(args)
	if err == nil && !p.Valid() {
		err = proto.BadMessage
	}
	return request{args: newGroup{p, rest}}, err
}

func parseAmendGroup(args []byte) (request, error) {
	p, rest, err := proto.ParseGroup(args)
	if err == nil && (len(rest) != 0 || !p.Valid()) {
		err = proto.BadMessage
	}
	return request{group: &p.ID, args: p}, err
}

func parseQuota(args []byte) (request, error) {
	if len(args) != 8 {
		return request{}, proto.BadMessage
	}
	id := binary.BigEndian.Uint32(args)
	return request{group: &id, args: binary.BigEndian.Uint32(args[4:])}, nil
}

// addGroup writes a group that is new.
func (o *order) addGroup(event string, g *group) proto.Code {
	switch {
	case o.named(g.Name) != nil:
		return proto.Exists
	case !o.roomFor(2):
		return proto.Full
	}
	return o.setGroup(event, g)
}

// setGroup writes a group.
func (o *order) setGroup(event string, g *group) proto.Code {
	m := o.m
	code := o.commit(event, fmt.Sprintf("%s, %08x", g.Name, g.ID), nil, g.changes(m.keys.groups)...)
	if code == proto.OK {
		m.mu.Lock()
		m.groups[g.ID] = g
		m.mu.Unlock()
	}
	return code
}

func (o *order) createGroup() (proto.Code, []byte) {
	g := &group{Group: o.args.(newGroup).Group}
	if len(o.args.(newGroup).escrow) != 0 || g.ID != 0 {
		return proto.BadMessage, nil
	}
	// At random, so that a group that moves to another manager keeps its number.
	for g.ID == 0 || o.m.group(g.ID) != nil {
		var b [4]byte
		rand.Read(b[:])
		g.ID = binary.BigEndian.Uint32(b[:])
	}
	rand.Read(g.key[:])
	answer := groupName(g.ID)
	if len(g.Escrow) != 0 {
		sealed, err := escrow.Seal(g.Escrow, g.ID, g.key[:])
		if err != nil {
			return proto.BadMessage, nil
		}
		answer = append(answer, sealed...)
	}
	return o.addGroup("create group", g), answer
}

func (o *order) importGroup() (proto.Code, []byte) {
	g := &group{Group: o.args.(newGroup).Group}
	if o.m.group(g.ID) != nil {
		return proto.Exists, nil
	}
	// Zero is every manager's own; and it was in escrow, so it stays so.
	if g.ID == 0 || len(g.Escrow) == 0 {
		return proto.BadMessage, nil
	}
	key, err := o.m.keys.recovery.Open(g.ID, o.args.(newGroup).escrow)
	if err != nil {
		return proto.BadBackup, nil
	}
	copy(g.key[:], key)
	clear(key)
	return o.addGroup("import group", g), nil
}

// amendGroup changes a group's name, approver and labels. Other labels end the
// connections of its vTPMs: they were admitted for those before.
func (o *order) amendGroup() (proto.Code, []byte) {
	p := o.args.(proto.Group)
	if g := o.named(p.Name); g != nil && g != o.group {
		return proto.Exists, nil
	}
	if !slices.Equal(p.Escrow, o.group.Escrow) {
		return proto.BadMessage, nil // its key is sealed to that one
	}
	p.Quota = o.group.Quota // the administrator's to set
	code := o.setGroup("amend group", &group{Group: p, key: o.group.key})
	if code == proto.OK && p.Labels != o.group.Labels {
		o.m.endGroup(p.ID)
	}
	return code, nil
}

func (o *order) setQuota() (proto.Code, []byte) {
	g := *o.group
	g.Quota = o.args.(uint32)
	return o.setGroup("set quota", &g), nil
}

// overQuota reports whether the group may have no more vTPMs.
func (o *order) overQuota() bool {
	return o.m.overQuota(o.group)
}

// overQuota reports whether a group may have no more vTPMs. One that has left does not count.
func (m *Manager) overQuota(g *group) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := uint32(0)
	for _, r := range m.records {
		if r.group == g.ID && r.away != transfer.Gone {
			n++
		}
	}
	return g.Quota != 0 && n >= g.Quota
}

func (o *order) listGroups() (proto.Code, []byte) {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(m.groups)), func(id uint32) bool { return !o.sees(id) })
	return proto.OK, part(o.args.(uint32), len(ids), func(b []byte, i int) []byte { return m.groups[ids[i]].Append(b) })
}
