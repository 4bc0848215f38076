package engine

import (
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
)

// MaxHandles is how many handles a command has at most.
const MaxHandles = 3

// A checkpoint is what undo needs besides the permanent state as last saved:
// all that a command changes before its save.
type checkpoint struct {
	clear StateClear
	reset StateReset
	vol   volatile
	da    lockout.Lockout // with what was counted since
	count bool            // something was counted since

	// Policies of sessions that the command names.
	policies [MaxHandles]struct {
		of  *session.Policy
		was session.Policy
	}

	// Sequences that the command names, encoded: they are updated in place.
	sequences [MaxHandles]struct {
		of  *object.Sequence
		was []byte
	}

	orderly      map[tcg.TPMHandle]orderlyData // of the state between two commands
	orderlyKnown bool                          // orderly need not be made again
}

// orderlyData is what an orderly index has and the saved state has not.
type orderlyData struct {
	attributes tcg.TPMANV
	data       []byte
}

// UnsavedTries are the counts that memory has and the saved state has not.
type UnsavedTries struct {
	// pins are the pinCounts that authorizations changed since the last save.
	pins map[tcg.TPMHandle]uint32

	Owed  bool // a save that had to keep a count failed
	stale bool // and perm.shutdown is DisorderlyShutdown, whatever the saved state says
}

// A permanentEncoding is an encoded permanent state.
type permanentEncoding struct {
	B     []byte
	clock int // where in b Clock is
}
