package vtpmmgr

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"stubtpm/vtpmmgr/proto"
)

func randomBytes(b []byte) { rand.Read(b) }

// raised returns the floors of a vTPM whose state of a moment long ago is made
// the valid one again. What it was at since then is not known here, only that no
// more time passed than did, that a reset takes a second or more, and that
// every try at an authorization may have failed: it starts in lockout.
func raised(f proto.Floors, saved, now int64) proto.Floors {
	seconds := uint64(max(0, now-saved)) + 1
	f.Clock += min(seconds*1000, math.MaxUint64-f.Clock)
	f.ResetCount += uint32(min(seconds, uint64(math.MaxUint32-f.ResetCount)))
	f.FailedTries = math.MaxUint32
	return f
}

// highest returns the higher of each.
func highest(a, b proto.Floors) proto.Floors {
	return proto.Floors{Clock: max(a.Clock, b.Clock), ResetCount: max(a.ResetCount, b.ResetCount), FailedTries: max(a.FailedTries, b.FailedTries)}
}

// A backup of a vTPM's record is in clear magic 8, group 4, uuid 16, salt 32;
// then an item of the ledger, the programs that may be started, the root of the firmware secrets if it has one, and the state key, sealed with a key of the group's
// and the salt. The salt is that of the enrollment, and dies with it, so that a
// destroyed vTPM has no backups; it is in the backup, and else zeros, only where
// the group's key is in escrow: there the host may be the one that died.
const (
	backupMagic = "stubBAK\x01"
	backupSalt  = len(backupMagic) + 4 + 16
	backupClear = backupSalt + 32
)

func backupKey(g *group, salt [32]byte) ([]byte, error) {
	return hkdf.Key(sha256.New, g.key[:], salt[:], "stubtpm manager backup", proto.KeySize)
}

// backup returns what opens the vTPM's state as it is now. The root is of a vTPM that is
// rooted.
func (g *group) backup(r *record, root [proto.KeySize]byte) ([]byte, error) {
	state, err := g.unwrap(r)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32([]byte(backupMagic), g.ID)
	b = append(b, r.uuid[:]...)
	salt := r.salt
	if len(g.Escrow) == 0 {
		salt = [32]byte{}
	}
	b = append(b, salt[:]...)
	key, err := backupKey(g, r.salt)
	if err != nil {
		return nil, err
	}
	item := append(r.change().Body, r.programs...)
	if r.rooted {
		item = append(item, root[:]...)
	}
	return append(b, seal(key, append(item, state[:]...), "backup", b)...), nil
}

// A backup's clear part.
type backupHead struct {
	group uint32
	uuid  UUID
	salt  [32]byte
}

func parseBackup(b []byte) (h backupHead, ok bool) {
	if len(b) < backupClear || string(b[:len(backupMagic)]) != backupMagic {
		return h, false
	}
	h.group = binary.BigEndian.Uint32(b[len(backupMagic):])
	copy(h.uuid[:], b[len(backupMagic)+4:])
	copy(h.salt[:], b[backupSalt:])
	return h, true
}

// open returns the record of a backup, its state key wrapped again, and the root if it is
// rooted.
func (g *group) open(h backupHead, salt [32]byte, b []byte) (r record, root [proto.KeySize]byte, ok bool) {
	key, err := backupKey(g, salt)
	if err != nil {
		return r, root, false
	}
	item, err := unseal(key, b[backupClear:], "backup", b[:backupClear])
	if err != nil || len(item) < proto.KeySize {
		return r, root, false
	}
	split := len(item) - proto.KeySize
	r, programs, err := splitRecord(item[:split])
	if err == nil && r.rooted {
		at := len(programs) - proto.KeySize
		if at < 0 {
			return r, root, false
		}
		root, programs = [proto.KeySize]byte(programs[at:]), programs[:at]
	}
	if err != nil || len(programs) != 0 && !(r.listed && isPrograms(programs)) || r.uuid != h.uuid || r.group != h.group || r.state.Sequence == 0 {
		return r, root, false
	}
	r.programs = string(programs)
	r.key = g.wrap(r.uuid, [proto.KeySize]byte(item[split:]))
	return r, root, true
}
