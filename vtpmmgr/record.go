package vtpmmgr

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// What the ledger's items are: their first byte. Their second is a version.
const (
	kindVTPM   = 1
	kindGroup  = 2
	kindAudit  = 3
	kindConfig = 4

	kindIdentity  = 5
	kindCertified = 6 // certificates of one vTPM
	kindRevoked   = 7
	kindPrograms  = 8 // that one vTPM's guests may start with
	kindMoving    = 9 // moves of one vTPM, in parts

	itemVersion = 1

	// Versions of a vTPM's and a group's item that are written; version 1,
	// which had no profile and no quota, is read too. A vTPM whose guests' starts
	// have to be measured has measuredVersion, and one that was moved has movedVersion, so
	// that an older manager reads all others.
	vtpmVersion     = 2
	measuredVersion = 3
	movedVersion    = 4
	groupVersion    = 2
)

var errItem = errors.New("vtpmmgr: item of the ledger is malformed")

// itemID is where an item is kept: names of different kinds cannot meet.
func itemID(kind byte, name []byte) ledger.ID {
	sum := sha256.Sum256(append([]byte{kind}, name...))
	return ledger.ID(sum[:16])
}

// twice are the places of an item without which others cannot be served: so
// damage in one place harms nobody.
func twice(kind byte, name []byte) [2]ledger.ID {
	return [2]ledger.ID{itemID(kind, name), itemID(kind, append([]byte("again "), name...))}
}

func twiceChanges(ids [2]ledger.ID, body []byte) []ledger.Change {
	return []ledger.Change{{ID: ids[0], Body: body}, {ID: ids[1], Body: body}}
}

func vtpmItem(u UUID) ledger.ID { return itemID(kindVTPM, u[:]) }

// A record is what the manager knows of one vTPM.
type record struct {
	uuid      UUID
	group     uint32
	epoch     uint32 // restores of this vTPM
	ledger    uint32 // epoch of the ledger in which it was committed last
	suspended bool
	held      bool // suspended by the administrator
	own       bool // held, and suspended by its group's approver too
	replace   bool
	attested  bool // see proto.Enrollment, as of the next
	measured  bool
	listed    bool        // its guests may start with programs only
	state     proto.State // its Key is empty here; Sequence is zero before the first
	key       wrappedKey  // State.Key under the group's key
	saved     int64       // seconds since 1970 at which it was committed
	image     [32]byte    // SHA-256 that the vTPM's domain has to be measured with; zeros for any
	salt      [32]byte    // of this enrollment's backups
	name      string
	profile   string // stored form of what the TPM offers (package tcg); empty for the default

	// away is Sent, Gone or Received of a vTPM that is not live here, and else zero. With
	// rooted, the firmware secrets are made of a root that came with it. What there is
	// besides of moves is in items of their own: see moving.
	away   transfer.Phase
	rooted bool

	// programs are SHA-256 values, 32 bytes each, in an item of their own: empty if not
	// listed, or if that cannot be read.
	programs string
}

// Offsets in a record's item; kind and version are before them.
const (
	recordUUID   = 2
	recordGroup  = recordUUID + 16
	recordEpoch  = recordGroup + 4
	recordLedger = recordEpoch + 4
	recordFlags  = recordLedger + 4 // 1: suspended 1, replace 2, held 4, attested 8, own 16, measured 32, listed 64
	recordState  = recordFlags + 1  // sequence 8, hash 32, floors 16
	recordKey    = recordState + 8 + proto.HashSize + proto.FloorsSize
	recordSaved  = recordKey + wrappedSize
	recordImage  = recordSaved + 8
	recordSalt   = recordImage + 32
	recordName   = recordSalt + 32 // up to proto.MaxName, a length of 1 before it; then the profile likewise

	// Behind the profile, with movedVersion: away, and this flag.
	rootedFlag = 0x80
)

func (r *record) change() ledger.Change {
	b := make([]byte, recordName, recordName+2+len(r.name)+len(r.profile))
	b[0], b[1] = kindVTPM, vtpmVersion
	copy(b[recordUUID:], r.uuid[:])
	binary.BigEndian.PutUint32(b[recordGroup:], r.group)
	binary.BigEndian.PutUint32(b[recordEpoch:], r.epoch)
	binary.BigEndian.PutUint32(b[recordLedger:], r.ledger)
	if r.suspended {
		b[recordFlags] |= 1
	}
	if r.replace {
		b[recordFlags] |= 2
	}
	if r.held {
		b[recordFlags] |= 4
	}
	if r.attested {
		b[recordFlags] |= 8
	}
	if r.own {
		b[recordFlags] |= 16
	}
	if r.measured {
		b[1] = measuredVersion
		b[recordFlags] |= 32
	}
	if r.listed {
		b[recordFlags] |= 64
	}
	binary.BigEndian.PutUint64(b[recordState:], r.state.Sequence)
	copy(b[recordState+8:], r.state.Hash[:])
	copy(b[recordState+8+proto.HashSize:], r.state.Floors.Append(nil))
	copy(b[recordKey:], r.key[:])
	binary.BigEndian.PutUint64(b[recordSaved:], uint64(r.saved))
	copy(b[recordImage:], r.image[:])
	copy(b[recordSalt:], r.salt[:])
	b = append(append(b, byte(len(r.name))), r.name...)
	b = append(append(b, byte(len(r.profile))), r.profile...)
	if r.away != 0 || r.rooted {
		b[1] = movedVersion
		b = append(b, byte(r.away))
		if r.rooted {
			b[len(b)-1] |= rootedFlag
		}
	}
	return ledger.Change{ID: vtpmItem(r.uuid), Body: b}
}

// names takes the texts at the end of a record's item apart, and returns what follows.
func (r *record) names(version byte, b []byte) (rest []byte, ok bool) {
	if version == 1 {
		r.name = string(b)
		return nil, len(b) <= proto.MaxName
	}
	for _, t := range []struct {
		to   *string
		most int
	}{{&r.name, proto.MaxName}, {&r.profile, proto.MaxProfile}} {
		if len(b) == 0 || int(b[0]) > min(t.most, len(b)-1) {
			return nil, false
		}
		*t.to, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	return b, true
}

func decodeRecord(b []byte) (record, error) {
	r, rest, err := splitRecord(b)
	if err == nil && len(rest) != 0 {
		err = errItem
	}
	return r, err
}

// flagsFit reports whether a record of a version can have such flags.
func flagsFit(version, flags byte) bool {
	if version < measuredVersion || version == movedVersion && flags&32 == 0 {
		return version >= 1 && flags < 32
	}
	return version <= movedVersion && flags < 128 && flags&(8|32) == 8|32 // measured is attested
}

// moved takes what follows the names of a record of movedVersion apart.
func (r *record) moved(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	r.away, r.rooted = transfer.Phase(b[0]&^rootedFlag), b[0]&rootedFlag != 0
	switch r.away {
	case transfer.Sent, transfer.Received:
	case transfer.Gone:
		ok = !r.rooted
		return b[1:], ok
	case 0:
		return b[1:], r.rooted
	default:
		return nil, false
	}
	return b[1:], true
}

// splitRecord decodes a record's item, and returns what follows it.
func splitRecord(b []byte) (r record, rest []byte, err error) {
	if len(b) < recordName || b[0] != kindVTPM || !flagsFit(b[1], b[recordFlags]) {
		return r, nil, errItem
	}
	rest, ok := r.names(b[1], b[recordName:])
	if !ok {
		return r, nil, errItem
	}
	if b[1] == movedVersion {
		if rest, ok = r.moved(rest); !ok {
			return r, nil, errItem
		}
	}
	r.measured, r.listed = b[recordFlags]&32 != 0, b[recordFlags]&64 != 0
	copy(r.uuid[:], b[recordUUID:])
	r.group = binary.BigEndian.Uint32(b[recordGroup:])
	r.epoch = binary.BigEndian.Uint32(b[recordEpoch:])
	r.ledger = binary.BigEndian.Uint32(b[recordLedger:])
	r.suspended, r.replace, r.held = b[recordFlags]&1 != 0, b[recordFlags]&2 != 0, b[recordFlags]&4 != 0
	r.attested, r.own = b[recordFlags]&8 != 0, b[recordFlags]&16 != 0
	r.state.Sequence = binary.BigEndian.Uint64(b[recordState:])
	copy(r.state.Hash[:], b[recordState+8:])
	if r.state.Floors, err = proto.ParseFloors(b[recordKey-proto.FloorsSize : recordKey]); err != nil {
		return r, nil, errItem
	}
	copy(r.key[:], b[recordKey:])
	r.saved = int64(binary.BigEndian.Uint64(b[recordSaved:]))
	copy(r.image[:], b[recordImage:])
	copy(r.salt[:], b[recordSalt:])
	return r, rest, nil
}

// A group is a tenant.
type group struct {
	proto.Group
	key [proto.KeySize]byte
}

// tenant returns the group's item if the group has an approver, who decides how many vTPMs
// it has. Then all of them together have a share of the hardware TPM too. It returns zeros
// for a group of the administrator's.
func (g *group) tenant() ledger.ID {
	if g.Approver == [32]byte{} {
		return ledger.ID{}
	}
	return itemID(kindGroup, groupName(g.ID))
}

func groupName(id uint32) []byte { return binary.BigEndian.AppendUint32(nil, id) }

// changes are the items of a group: its key wrapped with the root's, then all
// else.
func (g *group) changes(root []byte) []ledger.Change {
	w := wrap(root, g.key, "group", groupName(g.ID))
	b := append([]byte{kindGroup, groupVersion}, w[:]...)
	return twiceChanges(twice(kindGroup, groupName(g.ID)), g.Append(b))
}

func decodeGroup(b []byte, root []byte) (*group, error) {
	if len(b) < 2+wrappedSize || b[0] != kindGroup || b[1] < 1 || b[1] > groupVersion {
		return nil, errItem
	}
	g := new(group)
	text := b[2+wrappedSize:]
	if b[1] == 1 {
		text = append(slices.Clip(text), 0, 0, 0, 0) // it had no quota
	}
	var rest []byte
	var err error
	if g.Group, rest, err = proto.ParseGroup(text); err != nil || len(rest) != 0 {
		return nil, errItem
	}
	g.key, err = unwrap(root, wrappedKey(b[2:]), "group", groupName(g.ID))
	return g, err
}

// wrap seals a vTPM's state key with its group's.
func (g *group) wrap(u UUID, key [proto.KeySize]byte) wrappedKey {
	return wrap(g.key[:], key, "state", u[:])
}

func (g *group) unwrap(r *record) ([proto.KeySize]byte, error) {
	return unwrap(g.key[:], r.key, "state", r.uuid[:])
}

// firmwareRoot is what the firmware secrets of a vTPM are derived from that did not bring a
// root along.
func (g *group) firmwareRoot(salt [32]byte) (root [proto.KeySize]byte) {
	b, err := hkdf.Extract(sha256.New, g.key[:], salt[:])
	if err != nil {
		panic(err) // it has none for such sizes
	}
	return [proto.KeySize]byte(b)
}

// firmwareSecrets are what a vTPM's limited hierarchies are made of (TPM 2.0
// Part 1, clause 41): one that only this image has on this vTPM, and one of
// security version 0, which all images have.
func firmwareSecrets(root, image [32]byte) (firmware, svn [proto.KeySize]byte) {
	for _, s := range []struct {
		to      *[proto.KeySize]byte
		purpose string
	}{{&firmware, "firmware " + string(image[:])}, {&svn, "svn 0"}} {
		b, err := hkdf.Expand(sha256.New, root[:], "stubtpm manager "+s.purpose, proto.KeySize)
		if err != nil {
			panic(err) // only for a length that cannot be
		}
		copy(s.to[:], b)
	}
	return firmware, svn
}

// A config is what the manager keeps of itself. It is written with each order,
// so that the ends of the audit logs are in two places too.
type config struct {
	admin   [32]byte    // Ed25519 key that orders are signed with
	host    [32]byte    // one that tells measurements only; zeros for none
	counter uint64      // of the hardware TPM at the last start
	boot    uint64      // of the hardware TPM at the last start: resetCount 4, restartCount 4
	audit   [2]auditEnd // by proto.AuditLog

	// adminNumber is how often the administrator's key was replaced. An operator's
	// signature names it, so that it replaces a key once.
	adminNumber uint64
}

func configItems() [2]ledger.ID { return twice(kindConfig, nil) }

// Versions of the configuration's item: 1 had no boot, 2 only one audit log and no number of
// the administrator's key.
const (
	configVersion = 3
	auditEndSize  = 4 + 8 + 32
	configSize    = 2 + 32 + 32 + 8 + auditEndSize + 8 + auditEndSize + 8
)

func (c *config) changes() []ledger.Change {
	b := append([]byte{kindConfig, configVersion}, c.admin[:]...)
	b = append(b, c.host[:]...)
	b = binary.BigEndian.AppendUint64(b, c.counter)
	b = c.audit[proto.ManagerLog].append(b)
	b = binary.BigEndian.AppendUint64(b, c.boot)
	b = c.audit[proto.TenantLog].append(b)
	return twiceChanges(configItems(), binary.BigEndian.AppendUint64(b, c.adminNumber))
}

func (a *auditEnd) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, a.ring)
	b = binary.BigEndian.AppendUint64(b, a.next)
	return append(b, a.hash[:]...)
}

func decodeAuditEnd(b []byte) auditEnd {
	return auditEnd{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), [32]byte(b[12:])}
}

func decodeConfig(b []byte) (c config, err error) {
	const boot = 2 + 32 + 32 + 8 + auditEndSize // offset
	if len(b) < 2 || b[0] != kindConfig || len(b) != map[byte]int{1: boot, 2: boot + 8, configVersion: configSize}[b[1]] {
		return c, errItem
	}
	version := b[1]
	b = append(slices.Clip(b), make([]byte, configSize-len(b))...) // no boot has number 0: resetCount is more
	copy(c.admin[:], b[2:])
	copy(c.host[:], b[34:])
	c.counter = binary.BigEndian.Uint64(b[66:])
	c.audit = [2]auditEnd{decodeAuditEnd(b[74:]), decodeAuditEnd(b[boot+8:])}
	c.boot = binary.BigEndian.Uint64(b[boot:])
	c.adminNumber = binary.BigEndian.Uint64(b[boot+8+auditEndSize:])
	if version < configVersion {
		c.audit[proto.TenantLog].ring = max(auditLeast, c.audit[proto.ManagerLog].ring/2)
	}
	if c.audit[proto.ManagerLog].ring == 0 || c.audit[proto.TenantLog].ring == 0 {
		return c, errItem
	}
	return c, nil
}

// The audit logs keep so many entries together, half of them each, and on a small disk no
// more than a share of it: who wants all of them exports them in time.
const (
	auditMost  = 2048
	auditShare = 4
	auditLeast = 8
)

// An auditEnd is the end of one audit log. What tenants do has a log of its own, so that
// it cannot push out what the administrator did.
type auditEnd struct {
	ring uint32   // how many entries are kept
	next uint64   // number of the next one
	hash [32]byte // of the last one
}

// newAuditEnds returns the ends of the empty logs of a ledger with room for so many items.
func newAuditEnds(room int) (ends [2]auditEnd) {
	both := max(auditLeast, min(auditMost, room/auditShare))
	ends[proto.ManagerLog].ring, ends[proto.TenantLog].ring = uint32(both-both/2), uint32(both/2)
	return ends
}

// unused returns how many items a log will still take.
func (a *auditEnd) unused() int {
	return int(a.ring) - int(min(a.next, uint64(a.ring)))
}
