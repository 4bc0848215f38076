package vtpmmgr

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// backupFile is a backup as it came, and its clear part.
type backupFile struct {
	backupHead
	all []byte
}

func parseRestore(args []byte) (request, error) {
	h, ok := parseBackup(args)
	if !ok {
		// Whatever it is, it is taken for a backup of nobody's: so only the
		// administrator is told that it is none.
		return request{args: backupFile{}}, nil
	}
	return request{vtpm: &h.uuid, group: &h.group, args: backupFile{h, args}}, nil
}

func (o *order) backup() (proto.Code, []byte) {
	switch {
	case !o.known:
		return proto.NotEnrolled, nil
	case o.record.away == transfer.Gone || o.record.away == transfer.Received:
		return proto.Moving, nil // its state is not here, or not yet
	case o.record.state.Sequence == 0:
		return proto.NotConnected, nil // there is nothing yet
	case o.m.isConnected(o.uuid):
		return proto.Busy, nil // its image would be another by the time it is copied
	}
	root, err := o.group.rootOf(&o.record, o.m.movingOf(o.uuid).root)
	if err != nil {
		return proto.Damaged, nil
	}
	b, err := o.group.backup(&o.record, root)
	if err != nil {
		return proto.Failed, nil
	}
	changes, done := o.logged(o.uuid, "backup", fmt.Sprintf("state %d", o.record.state.Sequence), nil)
	// A disk or a TPM that takes no more writes must not prevent a backup:
	// then it is needed most.
	if code := o.m.commit(ledger.Class{}, changes...); code == proto.OK {
		done()
	} else {
		o.m.cfg.Log("vtpmmgr: backup of %v is not in the audit log: %v", o.uuid, code)
	}
	return proto.OK, b
}

// restore makes an old state the valid one, in a new epoch of its vTPM.
func (o *order) restore() (proto.Code, []byte) {
	f := o.args.(backupFile)
	if f.all == nil {
		return proto.BadBackup, nil
	}
	from, salt, now := o.record, o.record.salt, time.Now().Unix()
	switch {
	case !o.known && (len(o.group.Escrow) == 0 || o.damaged):
		return proto.NotEnrolled, nil // destroyed is destroyed
	case !o.known && o.overQuota():
		return proto.OverQuota, nil
	case !o.known && !o.roomFor(1):
		return proto.Full, nil
	case !o.known:
		salt = f.salt
	case from.away == transfer.Received:
		return proto.Moving, nil // the source decides whether it is here; or DESTROY it first
	case from.away == transfer.Gone && o.overQuota():
		return proto.OverQuota, nil
	case o.m.isConnected(o.uuid):
		return proto.Busy, nil
	}
	to, root, ok := o.group.open(f.backupHead, salt, f.all)
	if !ok || to.salt != salt {
		return proto.BadBackup, nil
	}
	if !o.known && to.programs != "" && !o.roomFor(2) {
		return proto.Full, nil
	}
	if max(to.epoch, from.epoch) == math.MaxUint32 {
		return proto.BadBackup, nil // no epoch comes after it
	}
	detail := fmt.Sprintf("state %d of epoch %d", to.state.Sequence, to.epoch)
	if o.known {
		floors := from.state.Floors
		if from.ledger != o.m.store.Epoch() {
			floors = raised(floors, from.saved, now)
		}
		to.state.Floors = highest(to.state.Floors, floors)
		to.epoch = max(to.epoch, from.epoch) + 1
		to.suspended, to.held, to.own, to.replace, to.image, to.name = from.suspended, from.held, from.own, from.replace, from.image, from.name
		to.keepStarts(&from)
	} else {
		to.state.Floors = raised(to.state.Floors, to.saved, now)
		to.epoch++
		detail += ", from escrow"
	}
	to.ledger, to.saved = o.m.store.Epoch(), now
	revocation, revoke, room := o.revocation() // they name another epoch
	if !room {
		return proto.Full, nil
	}
	// Whatever was sent is given up: no receipt of it counts from now on.
	to.away = 0
	entry, restored, ok := o.m.restoredMoving(&to, root, o.group)
	if !ok {
		return proto.Full, nil
	}
	code := o.change("restore", detail, &to, append(revocation, entry...)...)
	if code == proto.OK {
		restored()
		delete(o.m.moves, o.uuid) // no offer for before counts
		revoke()
		o.m.endSession(o.uuid) // it loaded meanwhile, what was before
	}
	return code, binary.BigEndian.AppendUint32(append([]byte(nil), o.uuid[:]...), to.epoch)
}
