package vtpmmgr

import (
	"encoding/binary"
	"errors"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A moving is what the manager keeps of the moves of one vTPM, besides what is in its record:
// also of one that it only made an offer for, and that has no record.
type moving struct {
	uuid    UUID
	epoch   uint32         // of the ledger when it was written
	since   int64          // of the phase, in seconds since 1970
	offered int64          // when the last offer was made
	root    *wrappedKey    // root of the firmware secrets, under the group's key; nil for none
	rules   transfer.Rules // of where it may be
	state   transfer.State // the keys of its Record are empty here
	parts   int            // of the stored form
	damage  error          // why it cannot be read; the rest is empty then
}

// A moving is too large for one item, so it is kept in parts, each of them twice. One commit
// writes all of them.
const (
	movingVersion  = 1
	movingUUID     = 2               // offset: kind, version
	movingPart     = movingUUID + 18 // uuid, number of the part, number of parts
	movingPartSize = ledger.MaxBody - movingPart
	movingParts    = 17
)

func movingItems(u UUID, part int) [2]ledger.ID { return twice(kindMoving, append(u[:], byte(part))) }

// encode returns the stored form, which the parts hold one after another.
func (v *moving) encode() []byte {
	b := binary.BigEndian.AppendUint32([]byte{movingVersion}, v.epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(v.since))
	b = binary.BigEndian.AppendUint64(b, uint64(v.offered))
	if v.root == nil {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), v.root[:]...)
	}
	rules := v.rules.Append(nil)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(rules))), rules...)
	return v.state.Append(b)
}

func decodeMoving(u UUID, b []byte) (*moving, error) {
	const head = 1 + 4 + 8 + 8 + 1
	if len(b) < head || b[0] != movingVersion || b[head-1] > 1 {
		return nil, errItem
	}
	v := &moving{uuid: u, epoch: binary.BigEndian.Uint32(b[1:]), since: int64(binary.BigEndian.Uint64(b[5:])), offered: int64(binary.BigEndian.Uint64(b[13:]))}
	rooted := b[head-1] == 1
	if b = b[head:]; rooted {
		if len(b) < wrappedSize {
			return nil, errItem
		}
		w := wrappedKey(b[:wrappedSize])
		v.root, b = &w, b[wrappedSize:]
	}
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, errItem
	}
	n := int(binary.BigEndian.Uint16(b))
	rules, err := transfer.ParseRules(b[2 : 2+n])
	if err != nil {
		return nil, errItem
	}
	st, err := transfer.ParseState(b[2+n:])
	if err != nil {
		return nil, errItem
	}
	v.rules, v.state = *rules, *st
	return v, nil
}

// isNeeded reports whether there is something to keep.
func (v *moving) isNeeded() bool {
	bare := emptyRules(&v.rules)
	resting := v.state.Phase == transfer.None || v.state.Phase == transfer.Live
	return !bare || !resting || v.root != nil || v.state.Last != nil || v.state.Offer != nil
}

// changes returns what makes v take the place of the one before, nil for none. It sets parts.
func (v *moving) changes(before *moving) (changes []ledger.Change) {
	n := 0
	if v.isNeeded() {
		all := v.encode()
		n = (len(all) + movingPartSize - 1) / movingPartSize
		for i := range n {
			b := append([]byte{kindMoving, movingVersion}, v.uuid[:]...)
			b = append(append(b, byte(i), byte(n)), all[i*movingPartSize:min(len(all), (i+1)*movingPartSize)]...)
			changes = append(changes, twiceChanges(movingItems(v.uuid, i), b)...)
		}
	}
	if before != nil {
		for i := n; i < before.parts; i++ {
			changes = append(changes, twiceChanges(movingItems(v.uuid, i), nil)...)
		}
	}
	v.parts = n
	return changes
}

func readMoving(get func(ledger.ID) ([]byte, error), u UUID) (*moving, error) {
	var all []byte
	parts := 1
	for i := 0; i < parts; i++ {
		b, err := readTwice(get, movingItems(u, i), func(b []byte) ([]byte, error) { return b, nil })
		if err != nil {
			return nil, err
		}
		if len(b) < movingPart || b[0] != kindMoving || b[1] != movingVersion || UUID(b[movingUUID:]) != u || int(b[movingPart-2]) != i {
			return nil, errItem
		}
		if i == 0 {
			parts = int(b[movingPart-1])
		}
		if int(b[movingPart-1]) != parts || parts < 1 || parts > movingParts {
			return nil, errItem
		}
		all = append(all, b[movingPart:]...)
	}
	v, err := decodeMoving(u, all)
	if err == nil {
		v.parts = parts
	}
	return v, err
}

var errMoving = errors.New("vtpmmgr: what is known of a vTPM's moves does not fit its record")

// fits returns nil if v is of a vTPM with this record, or without one.
func (v *moving) fits(r *record, known bool) error {
	want := transfer.None
	if known {
		if want = r.away; want == 0 {
			want = transfer.Live
		}
	}
	// An offer may have been made before the vTPM was enrolled here.
	enrolled := want == transfer.Live && v.state.Phase == transfer.None
	if v.state.Phase != want && !enrolled || r.rooted != (v.root != nil) {
		return errMoving
	}
	return nil
}

// rootOf returns the root of a vTPM's firmware secrets: the one that came with it, or one of
// its group's.
func (g *group) rootOf(r *record, came *wrappedKey) ([proto.KeySize]byte, error) {
	switch {
	case !r.rooted:
		return g.firmwareRoot(r.salt), nil
	case came == nil:
		return [proto.KeySize]byte{}, errMoving
	}
	return unwrap(g.key[:], *came, "firmware root", r.uuid[:])
}

func (g *group) wrapRoot(u UUID, root [proto.KeySize]byte) *wrappedKey {
	w := wrap(g.key[:], root, "firmware root", u[:])
	return &w
}

func emptyRules(r *transfer.Rules) bool {
	return len(r.Managers)+len(r.Images)+len(r.Places) == 0 && r.SecurityVersion == 0 && !r.Labels
}
