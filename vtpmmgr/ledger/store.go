package ledger

import (
	"sync"
	"time"
)

// A place is what the store knows of the two sectors at one index.
type place struct {
	entry
	body   []byte  // nil: never used, or a tombstone
	damage *Damage // the body cannot be read
}

// inUse reports whether the place belongs to an item.
func (p *place) inUse() bool { return p.body != nil || p.damage != nil }

// freeSlot returns the slot that the last commit does not need.
func (p *place) freeSlot() int {
	if p.sequence == 0 {
		return 0
	}
	return 1 - p.slot
}

// A Store is an open ledger. It is safe for concurrent use.
type Store struct {
	cfg      Config
	keys     *keys
	capacity int

	mu      sync.Mutex // guards what follows
	places  []place    // by index
	index   map[ID]int
	free    []int // indices without an item, below len(places)
	queue   []*waiter
	leading bool // a goroutine owns the disk and the anchor
	closed  bool
	epoch   uint32
	seq     uint64
	mode    Mode
	wear    wear
	health  error // of the last extension; nil if it succeeded

	// The fields below belong to the leading goroutine (see lead).
	root            root       // of the items served
	rootSlot        int        // slot of the root
	encoded         []byte     // its bytes
	leafSlot        []int      // slots of its leaves
	next            uint64     // sequence of the next attempt; never reused
	value           [32]byte   // of the NV index
	pcr             [32]byte   // value of the PCR
	boot            uint64     // reset number of pcr
	chainOpen       bool       // a checkpoint was made in this boot: links may follow
	unresolved      *extension // an extension whose outcome is unknown
	inDoubt         *attempt   // the commit that unresolved anchors; nil if it is a checkpoint of root
	diverged        error      // something else extended the anchor: the store is unusable
	unanchoredSince time.Time  // when the first commit without a checkpoint was written; zero if all have one
	wantCredit      int64      // credit that the scheduled checkpoint needs; 0 if none is scheduled
	timer           *time.Timer
	nvRetry         time.Time // the NV index failed: only necessary checkpoints before that time
	shares          map[shareKey]*share
	stale           []int // indices whose free slot must be overwritten
	failedRoot      bool  // the free root slot may hold the root of a failed attempt
}

// An attempt is a commit on its way to the disk.
type attempt struct {
	root      root
	encoded   []byte
	places    map[int]place // new places, by index
	index     map[ID]int    // new indices; -1 if deleted
	allocated []int         // indices that were free before
	leafSlot  map[int]int
}

// A waiter is a call that waits for the disk: a commit, or a function that must run alone.
type waiter struct {
	changes []Change
	class   Class
	run     func() error
	done    chan verdict
}

// A verdict ends a waiter's wait, or makes the waiter the leader.
type verdict struct {
	lead bool
	err  error
}

// An extension is an extension of the anchor whose outcome is unknown.
type extension struct {
	how  anchoring
	next [32]byte // the anchor's value if it was done
}

// An anchoring is a way to tie a root to the hardware TPM.
type anchoring int

const (
	deferred   anchoring = iota // by a later checkpoint: bounded mode
	link                        // by the PCR
	checkpoint                  // by the NV index
)
