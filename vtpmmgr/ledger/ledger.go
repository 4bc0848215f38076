package ledger

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/drivers/block"
)

// KeySize is the size in bytes of the ledger's key.
const KeySize = chacha20poly1305.KeySize

// An ID names an item or a manager. The ID of an item is not zero.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// An Anchor gives access to two values in a hardware TPM that can only be extended: an
// extension by d replaces a value by SHA-256(value || d). Their initial values are
// arbitrary.
//
// After an extension that returned an error its outcome is unknown until the value is
// read. The ledger calls one method at a time.
type Anchor interface {
	// Value returns the value of an NV index of type TPM_NT_EXTEND (TPM 2.0
	// Part 1, 37.2.4), authenticated by the hardware TPM.
	Value() ([32]byte, error)

	// Extend extends the NV index. Each call wears the chip's NV memory.
	Extend(d [32]byte) error

	// Chain returns the value of a PCR that only a platform reset clears, and
	// a number that changes with each reset. Both are authenticated and are
	// read atomically.
	Chain() (value [32]byte, boot uint64, err error)

	// Link extends the PCR. If the TPM was reset since Chain was called it
	// fails and changes nothing.
	Link(d [32]byte) error
}

// Config configures a Store. Only Log is optional.
type Config struct {
	// Mode is the rollback protection mode of a new ledger. Open sets it if it
	// is stronger than the ledger's own mode, unless Keep is set.
	Mode Mode
	Keep bool

	Disk    block.Device
	Offset  int64 // of the ledger's area, which extends to the end of the disk
	Manager ID    // owner of the ledger
	Key     []byte
	Anchor  Anchor
	PCR     uint32 // index of the anchor's PCR
	Log     func(format string, args ...any)
}

// A Change is one item's part of a commit. A nil Body deletes the item; deleting an item
// that does not exist is no error.
type Change struct {
	ID   ID
	Body []byte // at most MaxBody bytes
}

// A place is what the store knows of the two sectors at one index.
type place struct {
	entry
	body   []byte  // nil: never used, or a tombstone
	damage *Damage // the body cannot be read
}

// inUse reports whether the place belongs to an item.
func (p *place) inUse() bool { return p.body != nil || p.damage != nil }

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
	unanchoredSince time.Time  // when the first commit without a checkpoint was written; zero if there is none
	wantCredit      int64      // credit that the scheduled checkpoint needs; 0 if none is scheduled
	timer           *time.Timer
	nvRetry         time.Time // the NV index failed: only necessary checkpoints before that time
	shares          map[shareKey]*share
	stale           []int // indices whose free slot must be overwritten
	failedRoot      bool  // the free root slot may hold the root of a failed attempt
}

// Get returns a copy of an item's body. Its error is ErrNotFound or a *Damage.
func (s *Store) Get(id ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrNotFound, id)
	}
	p := &s.places[i]
	if p.damage != nil {
		return nil, p.damage
	}
	return bytes.Clone(p.body), nil
}

// All returns all undamaged items as of the call, in no particular order.
func (s *Store) All() iter.Seq2[ID, []byte] {
	type pair struct {
		id   ID
		body []byte
	}
	s.mu.Lock()
	all := make([]pair, 0, len(s.index))
	for i := range s.places {
		if p := &s.places[i]; p.body != nil {
			all = append(all, pair{p.id, p.body}) // bodies are never changed in place
		}
	}
	s.mu.Unlock()
	return func(yield func(ID, []byte) bool) {
		for _, p := range all {
			if !yield(p.id, slices.Clip(bytes.Clone(p.body))) {
				return
			}
		}
	}
}

// Damaged returns the damaged items in the order of the disk.
func (s *Store) Damaged() []Damage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Damage
	for i := range s.places {
		if d := s.places[i].damage; d != nil {
			all = append(all, *d)
		}
	}
	return all
}

// Sequence returns the sequence of the last commit. Each commit raises it by one or more.
func (s *Store) Sequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Epoch returns the ledger's epoch: 1, and higher after each Restore.
func (s *Store) Epoch() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// NewBoot reports whether the next commit will be a checkpoint: always, except in budget
// mode once there was a checkpoint since the hardware TPM was reset.
func (s *Store) NewBoot() (is bool) {
	s.exclusively(func() error { is = s.root.mode.Daily == 0 || !s.chainOpen; return nil })
	return is
}

// Room returns how many items can be added.
func (s *Store) Room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capacity - len(s.index)
}

// Health returns why commits fail now, the last error of the anchor, or nil.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}
