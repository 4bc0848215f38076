// Package fleet keeps which host of a fleet owns which vTPM. When a host dies in the
// midst of a move, an administrator finds here where the vTPM belongs.
//
// It is bookkeeping for hosts, and nothing that a vTPM's safety rests on: that never
// two copies serve is the doing of the managers' ledgers and of their protocol
// (docs/manager-protocol.md). Whoever can write into the store can give administrators a
// wrong answer, and make no manager serve anything. No domain uses this package. It is
// a module of its own, so that what etcd's client needs becomes part of nothing else.
//
// A [Store] has four calls. [None] is for two hosts, which need no store, since their
// managers' protocol says it all; [Etcd] is for more. docs/fleet.md tells when to use
// which call, and what the command stubtpm-fleet does with them.
package fleet

import (
	"context"
	"crypto/ed25519"
	"errors"

	"stubtpm/vtpmmgr/proto"
)

// A UUID names a vTPM, as its manager does.
type UUID = proto.UUID

// A Store knows for each vTPM one [Row]: who owns it, and in which [Epoch].
//
// Each call takes effect at one moment between its start and its end, and as a whole or
// not at all. With [ErrUnknown] it may also take effect later, or never: Look tells.
// Claim, HandOver and Fence can be repeated: a call whose effect is there already
// returns what it returned, or would have returned, the first time.
//
// Stores may be used by several goroutines. No call outlasts its context.
type Store interface {
	// Claim says that a host has a vTPM, as it has after ENROLL, and that the host is
	// there. The first claim of a vTPM makes its row, in epoch 0.0. Another host's
	// gets [ErrOwned] and the row, and that remains so however long the owner has been
	// silent. The approver's key is the one that decides about the vTPM's group
	// (docs/manager-protocol.md, "Requests of an administrator"); an owner whose group
	// has got another approver claims again.
	Claim(ctx context.Context, vtpm UUID, h Host, approver ed25519.PublicKey) (Row, error)

	// HandOver makes another host the owner, after a move by the managers' protocol,
	// and counts the moves of the epoch by one. Only the owner does it, and only in the
	// epoch in which it is the owner; others get [ErrMoved] and the row.
	HandOver(ctx context.Context, vtpm UUID, from Host, at Epoch, to Host) (Row, error)

	// Look returns the row, and [ErrNoRow] if there was no claim yet. It asks a
	// majority: a host that is cut off gets an error, never an old row.
	Look(ctx context.Context, vtpm UUID) (Row, error)

	// Fence takes a vTPM from a host that does not come back, by the word of the
	// vTPM's approver, and gives it to another, which then restores it: see [Word].
	// The errors are [ErrWord] for a word that is not the approver's or raises no
	// epoch, and [ErrMoved], with the row, for one about an owner and epoch that are
	// not the row's.
	Fence(ctx context.Context, vtpm UUID, w Word) (Row, error)
}

// Errors of a [Store].
var (
	// ErrOwned means that another host owns the vTPM.
	ErrOwned = errors.New("fleet: another host owns the vTPM")
	// ErrMoved means that the vTPM is not, or no longer, that host's in that epoch.
	ErrMoved = errors.New("fleet: the vTPM is not that host's in that epoch")
	// ErrNoRow means that no host has claimed the vTPM.
	ErrNoRow = errors.New("fleet: no host has claimed the vTPM")
	// ErrWord means that a word does not allow what is asked for.
	ErrWord = errors.New("fleet: not the approver's word, or its epoch is not higher")
	// ErrBusy means that others changed the row all the time: try again.
	ErrBusy = errors.New("fleet: the row changes too often")
	// ErrUnknown means that the store did not answer, so the call may have taken
	// effect, or may still. Errors of a context come with it.
	ErrUnknown = errors.New("fleet: the store did not answer; the call may have taken effect")
	// ErrArgument means that a host, an epoch or a key cannot be one.
	ErrArgument = errors.New("fleet: impossible argument")
	// ErrNotKept means that there is no store: the managers know.
	ErrNotKept = errors.New("fleet: there is no store; ask both managers (stubtpm mgr list)")
)
