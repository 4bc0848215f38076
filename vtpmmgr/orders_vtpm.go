package vtpmmgr

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"stubtpm/vtpmmgr/proto"
)

func parseEnrollment(args []byte) (request, error) {
	e, err := proto.ParseEnrollment(args)
	return request{vtpm: &e.UUID, group: &e.Group, args: e}, err
}

func parseUUID(args []byte) (request, error) {
	if len(args) != len(UUID{}) {
		return request{}, proto.BadMessage
	}
	u := UUID(args)
	return request{vtpm: &u}, nil
}

// parseFirst reads the number of the first entry of a list that is wanted.
func parseFirst(args []byte) (request, error) {
	if len(args) != 4 {
		return request{}, proto.BadMessage
	}
	return request{args: binary.BigEndian.Uint32(args)}, nil
}

func (o *order) enroll() (proto.Code, []byte) {
	e := o.args.(proto.Enrollment)
	switch {
	case o.known && o.record.away != 0:
		return proto.Moving, nil
	case o.known:
		return proto.Exists, nil
	case o.damaged:
		return proto.Damaged, nil
	case !o.m.canMake(e.Profile):
		return proto.BadMessage, nil
	case o.overQuota():
		return proto.OverQuota, nil
	case !o.roomFor(1 + programItems(&e)):
		return proto.Full, nil
	}
	r := record{uuid: e.UUID, group: e.Group, ledger: o.m.store.Epoch(), replace: e.Replace, saved: time.Now().Unix(),
		image: e.Image, name: e.Name, profile: e.Profile}
	r.setStarts(&e)
	rand.Read(r.salt[:])
	return o.change("enroll", "group "+o.group.Name, &r), nil
}

// programItems returns how many items the programs of an enrollment take.
func programItems(e *proto.Enrollment) int { return min(1, len(e.Programs)) }

// canMake reports whether a TPM can be made of a profile; empty is the default.
func (m *Manager) canMake(profile string) bool {
	if profile == "" || m.cfg.CheckProfile == nil {
		return true
	}
	err := m.cfg.CheckProfile(profile)
	if err != nil {
		m.cfg.Log("vtpmmgr: profile: %v", err)
	}
	return err == nil
}

// amend changes what may be changed of an enrollment. An image that is another
// ends the connection of a vTPM: it was admitted for the one before.
func (o *order) amend() (proto.Code, []byte) {
	e := o.args.(proto.Enrollment)
	switch {
	case !o.known:
		return proto.NotEnrolled, nil
	case o.record.away != 0:
		return proto.Moving, nil
	case e.Profile != "" && e.Profile != o.record.profile && o.record.state.Sequence != 0:
		return proto.Exists, nil // the TPM was made with the other one
	case !o.m.canMake(e.Profile):
		return proto.BadMessage, nil
	case o.record.programs == "" && !o.roomFor(programItems(&e)):
		return proto.Full, nil
	}
	to := o.record
	to.replace, to.image, to.name = e.Replace, e.Image, e.Name
	to.setStarts(&e)
	if e.Profile != "" {
		to.profile = e.Profile
	}
	code := o.change("amend", "image "+hex8(e.Image), &to)
	if code == proto.OK && to.image != o.record.image {
		o.m.endSession(o.uuid)
	}
	return code, nil
}

// destroy forgets a vTPM. What the administrator suspended stays until he lets it
// go on: its group could have it back at once, from a backup and not suspended.
func (o *order) destroy() (proto.Code, []byte) {
	switch {
	case !o.known && !o.damaged:
		return proto.NotEnrolled, nil
	case o.record.held && o.byTenant():
		return proto.Suspended, nil
	}
	revocation, revoke, room := o.revocation()
	if !room {
		return proto.Full, nil
	}
	code := o.change("destroy", "", nil, revocation...)
	if code == proto.OK {
		revoke()
		o.m.forgetGuests(o.uuid)
		delete(o.m.moves, o.uuid)
		o.m.endSession(o.uuid)
	}
	return code, nil
}

func (o *order) suspend() (proto.Code, []byte) { return o.setSuspended("suspend", true), nil }
func (o *order) resume() (proto.Code, []byte)  { return o.setSuspended("resume", false), nil }

// setSuspended changes whether a vTPM may load and commit. What the administrator
// suspended, only the administrator resumes, whoever else may by then; what the group's
// approver suspended besides stays so.
func (o *order) setSuspended(event string, suspended bool) proto.Code {
	switch {
	case !o.known:
		return proto.NotEnrolled
	case o.record.held && !suspended && o.byTenant():
		return proto.Unsigned
	case o.record.suspended && !o.record.held && !suspended && o.by&approver == 0:
		return proto.Unsigned // the approver suspended it
	}
	to, r := o.record, o.record
	switch {
	case o.byTenant() && r.held: // and it suspends
		to.own = true
	case o.byTenant():
		to.suspended = suspended
	case suspended:
		to.suspended, to.held = true, true
		to.own = r.own || r.suspended && !r.held && o.group.Approver != [32]byte{}
	case r.held:
		to.suspended, to.held, to.own = r.own, false, false
	default:
		to.suspended = false
	}
	return o.change(event, "", &to)
}

func (o *order) list() (proto.Code, []byte) {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	uuids := o.visible()
	return proto.OK, part(o.args.(uint32), len(uuids), func(b []byte, i int) []byte {
		r := m.records[uuids[i]]
		e := proto.Entry{UUID: r.uuid, Group: r.group, Epoch: r.epoch, Sequence: r.state.Sequence, Floors: r.state.Floors,
			State: r.state.Sequence != 0, Connected: m.connected[r.uuid] != nil, Suspended: r.suspended, Replace: r.replace,
			Image: r.image, Name: r.name, Attested: r.attested, Measured: r.measured, Moving: r.away != 0}
		return e.Append(b)
	})
}

// part returns the number of all entries, and those from number first on that
// fit into a message.
func part(first uint32, all int, add func(b []byte, i int) []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(all))
	for i := int64(first); i < int64(all); i++ {
		longer := add(b, int(i))
		if len(longer) > proto.MaxSize-proto.HeaderSize {
			break
		}
		b = longer
	}
	return b
}
