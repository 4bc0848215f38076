package vtpmmgr

import (
	"strings"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The programs that the guests of a vTPM may start with are an item: kind, version, uuid,
// SHA-256 values. A record has no room for them.
const programsHead = 2 + 16

func programsItem(u UUID) ledger.ID { return itemID(kindPrograms, u[:]) }

// programsChange writes the programs of a record, or removes them.
func (r *record) programsChange() ledger.Change {
	c := ledger.Change{ID: programsItem(r.uuid)}
	if r.programs != "" {
		c.Body = append(append([]byte{kindPrograms, itemVersion}, r.uuid[:]...), r.programs...)
	}
	return c
}

func decodePrograms(b []byte) (u UUID, programs string, err error) {
	if len(b) <= programsHead || b[0] != kindPrograms || b[1] != itemVersion || !isPrograms(b[programsHead:]) {
		return u, "", errItem
	}
	return UUID(b[2:]), string(b[programsHead:]), nil
}

// isPrograms reports whether b is a list of programs that is not empty.
func isPrograms(b []byte) bool {
	return len(b) > 0 && len(b)%proto.HashSize == 0 && len(b) <= proto.MaxPrograms*proto.HashSize
}

// setStarts takes what an enrollment says of the starts of guests.
func (r *record) setStarts(e *proto.Enrollment) {
	var b strings.Builder
	for _, p := range e.Programs {
		b.Write(p[:])
	}
	r.attested, r.measured, r.listed, r.programs = e.Attested, e.Measured, len(e.Programs) > 0, b.String()
}

// keepStarts takes it from another record of the same vTPM.
func (r *record) keepStarts(from *record) {
	r.attested, r.measured, r.listed, r.programs = from.attested, from.measured, from.listed, from.programs
}

// programList returns the programs that may be started, for a message.
func (r *record) programList() (all [][proto.HashSize]byte) {
	for p := r.programs; p != ""; p = p[proto.HashSize:] {
		all = append(all, [proto.HashSize]byte([]byte(p)))
	}
	return all
}

// mayStart returns whether a guest may have the TPM that starts with a program, nil for
// one that was not measured.
func (r *record) mayStart(p *proto.Program) proto.Code {
	switch {
	case !r.measured:
		return proto.OK
	case p == nil:
		return proto.StartNotMeasured
	case !r.listed:
		return proto.OK
	case r.programs == "":
		return proto.Damaged
	}
	for _, may := range r.programList() {
		if may == p.Hash {
			return proto.OK
		}
	}
	return proto.WrongProgram
}
