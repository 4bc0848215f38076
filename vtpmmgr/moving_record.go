package vtpmmgr

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

func newSalt() (salt [32]byte) {
	randomBytes(salt[:])
	return salt
}

// received returns the record of a vTPM that is received into a group, but for its salt and
// times.
func received(in *transfer.Record, g *group) record {
	r := record{uuid: UUID(in.VTPM), group: g.ID, epoch: in.Epoch, away: transfer.Received, rooted: true,
		attested: in.Flags&transfer.FlagAttested != 0, measured: in.Flags&transfer.FlagMeasured != 0, listed: in.Flags&transfer.FlagListed != 0,
		image: in.Image, name: in.Name, profile: in.Profile}
	for _, p := range in.Programs {
		r.programs += string(p[:])
	}
	r.state = proto.State{Sequence: in.Sequence, Hash: in.Hash}
	r.state.Floors, _ = proto.ParseFloors(in.Floors[:]) // of 16 bytes all are
	r.key = g.wrap(r.uuid, in.Key)
	return r
}

var errRuns = errors.New("vtpmmgr: the vTPM may run: freeze it, or shut its domain down in order, with a vTPM and a manager of this version")

// Approver returns the key of the approver of the vTPM's group.
func (v home) Approver() (key ed25519.PublicKey, err error) {
	_, g, err := v.here()
	if err != nil {
		return nil, err
	}
	return v.m.approverOf(g), nil
}

// approverOf returns the key that orders about a group's vTPMs are signed with.
func (m *Manager) approverOf(g *group) ed25519.PublicKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := g.Approver
	if key == [32]byte{} {
		key = m.config.admin
	}
	return key[:]
}

// here returns a vTPM that this manager has, and its group.
func (v *mover) here() (r record, g *group, err error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	r, known := v.m.records[v.u]
	if !known {
		return r, nil, proto.NotEnrolled
	}
	if g = v.m.groups[r.group]; g == nil {
		return r, nil, proto.NoGroup
	}
	return r, g, nil
}

// Record returns what is handed over.
func (v home) Record() (*transfer.Record, error) {
	m := v.m
	r, g, err := v.here()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	frozen, at := m.frozen[v.u]
	m.mu.Unlock()
	_, _, room := m.revocation(v.u, r.group, g.tenant() != [16]byte{})
	switch {
	case r.suspended:
		return nil, proto.Suspended // its holder did not mean it to go on elsewhere
	case !at || frozen != r.state.Sequence:
		return nil, errRuns
	case r.listed && r.programs == "":
		return nil, proto.Damaged
	case !room:
		return nil, proto.Full // of the list of revocations
	case !m.mayTransfer(g):
		return nil, proto.Rate
	}
	root, err := g.rootOf(&r, m.movingOf(v.u).root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proto.Damaged, err)
	}
	key, err := g.unwrap(&r)
	if err != nil {
		return nil, err
	}
	floors := r.state.Floors
	if r.ledger != m.store.Epoch() {
		floors = raised(floors, r.saved, time.Now().Unix())
	}
	out := &transfer.Record{VTPM: transfer.ID(r.uuid), Key: key, Firmware: root, Sequence: r.state.Sequence, Hash: r.state.Hash,
		Floors: [16]byte(floors.Append(nil)), Epoch: r.epoch, Image: r.image, Group: g.Name, Name: r.name, Profile: r.profile, Rules: m.movingOf(v.u).rules}
	for i, set := range []bool{r.attested, r.measured, r.listed} {
		if set {
			out.Flags |= 1 << i
		}
	}
	for _, p := range r.programList() {
		out.Programs = append(out.Programs, p)
	}
	return out, nil
}

// notTaken is the error of a vTPM that may not come here.
func notTaken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", transfer.NotTaken, fmt.Errorf(format, args...))
}

// Approver returns the key of the approver of the group that a record names, as it is here.
func (v place) Approver(in *transfer.Record) (key ed25519.PublicKey, err error) {
	g := (&order{m: v.m}).named(in.Group)
	if g == nil {
		return nil, notTaken("there is no group %q", proto.Visible(in.Group))
	}
	return v.m.approverOf(g), nil
}

// Take returns whether the vTPM may come here.
func (v place) Take(in *transfer.Record, _ *transfer.Claims) error {
	m := v.m
	g := (&order{m: m}).named(in.Group)
	m.mu.Lock()
	old, known := m.records[v.u]
	m.mu.Unlock()
	listed, measured := in.Flags&transfer.FlagListed != 0, in.Flags&transfer.FlagMeasured != 0
	var programs []byte
	for _, p := range in.Programs {
		programs = append(programs, p[:]...)
	}
	switch {
	case g == nil:
		return notTaken("there is no group %q", proto.Visible(in.Group))
	case known && old.group != g.ID:
		return notTaken("it was of another group when it left")
	case known && old.suspended:
		return notTaken("it was suspended here since it left") // what comes would not be
	case m.overQuota(g):
		return notTaken("the group's quota is used up")
	case !m.canMake(in.Profile):
		return notTaken("its profile is unknown here")
	case !proto.Printable(in.Name), listed != isPrograms(programs), listed && !measured, measured && in.Flags&transfer.FlagAttested == 0:
		return transfer.WrongRecord
	case !m.mayTransfer(g):
		return proto.Rate // it may come later
	}
	return nil
}
