package ledger

import (
	"errors"
	"fmt"
)

// Reasons why a ledger cannot be opened. An error of Open or Restore wraps exactly one
// of them, or is an error of the disk or of the anchor.
var (
	ErrBlank      = errors.New("ledger: no ledger on this disk")
	ErrVersion    = errors.New("ledger: unsupported version")
	ErrForeign    = errors.New("ledger: belongs to another manager")
	ErrDamaged    = errors.New("ledger: does not authenticate (torn write, tampering or wrong key)")
	ErrSmaller    = errors.New("ledger: the disk is smaller than the ledger that is on it")
	ErrRolledBack = errors.New("ledger: older than the hardware TPM's anchor (rollback)")
)

// ErrLast is returned by Restore if the disk holds the current ledger, which Open opens.
var ErrLast = errors.New("ledger: is current, nothing to restore")

// Errors of Commit and Get.
var (
	ErrFull     = errors.New("ledger: no room for another item")
	ErrTooLarge = errors.New("ledger: item is too large or has no ID")
	ErrNotFound = errors.New("ledger: no such item")

	// ErrInDoubt means that the outcome of a commit is unknown because the
	// hardware TPM did not answer. Resolve, or the next Commit, finds it out.
	ErrInDoubt = errors.New("ledger: commit in doubt: no answer from the hardware TPM")

	// ErrResolved means that an earlier commit that failed with ErrInDoubt did
	// happen, and that this one was not tried. The caller must read again
	// what its changes are based on.
	ErrResolved = errors.New("ledger: an earlier commit in doubt did happen; this one was not tried")

	// ErrClosed is returned after Close.
	ErrClosed = errors.New("ledger: closed")
)

// A Damage is an item whose committed version cannot be read. Other items are still
// served. A commit that replaces or deletes the item repairs it.
type Damage struct {
	ID     ID // zeros if the leaf is damaged too, and the ID is lost
	Index  int
	Offset int64 // on the disk
	Why    error
}

func (d *Damage) Error() string {
	name := "item " + d.ID.String()
	if d.ID == (ID{}) {
		name = "an item"
	}
	return fmt.Sprintf("ledger: %s (index %d, disk offset %d) is damaged: %v", name, d.Index, d.Offset, d.Why)
}

func (d *Damage) Unwrap() error { return d.Why }
