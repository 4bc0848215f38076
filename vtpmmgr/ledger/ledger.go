// Package ledger keeps many small items on a disk that nobody trusts, sealed,
// and tied to a value of a hardware TPM that only goes forward: an old copy of
// the disk, all of it or a part, is refused.
//
// Changes are transactions. A cut of power at any moment leaves the last
// transaction that was answered, or the one after it that was not, whole. What
// a commit writes does not depend on how many items there are. Damage in one
// place harms at most one item, which is then named.
//
// docs/ledger-format.md has the format and the reasons. The package knows no
// TPM and no protocol, has no build tag and runs anywhere.
package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
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

// An ID names an item, or a manager. An item's is not all zeros.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// An Anchor is two values in a hardware TPM that nobody can set back. Both begin
// with what they happen to have, and become SHA-256(value || d) by an extension.
// After an error of an extension it may have been done or not: reading tells. The
// ledger calls one method at a time.
type Anchor interface {
	// Value is that of an NV index of type extend (TPM 2.0 Part 1, section
	// 37.2.4), authenticated by the hardware TPM.
	Value() ([32]byte, error)

	// Extend extends the NV index, which wears.
	Extend(d [32]byte) error

	// Chain returns the value of a PCR that a reset of the platform clears,
	// and nothing else, with a number that is another after each reset. Both are
	// authenticated, and of the same moment.
	Chain() (value [32]byte, boot uint64, err error)

	// Link extends the PCR, unless the TPM was reset since Chain was called:
	// then it fails and changes nothing.
	Link(d [32]byte) error
}

// Config is what a Store is built from; only Log may be missing.
type Config struct {
	// Mode is that of a new ledger. Open takes it if it is stronger than the
	// ledger's own, and else leaves that; Keep has Open leave it in any case.
	Mode Mode
	Keep bool

	Disk    block.Device
	Offset  int64 // where the ledger's area begins; it ends with the disk
	Manager ID    // whose ledger it is
	Key     []byte
	Anchor  Anchor
	PCR     uint32 // number of the anchor's PCR
	Log     func(format string, args ...any)
}

// A Change is what a commit does with one item. A nil Body deletes it, which
// is no error if there is none.
type Change struct {
	ID   ID
	Body []byte // at most MaxBody bytes
}

// Why there is no ledger. Errors of Open and Restore wrap exactly one of them,
// or are of the disk or of the anchor.
var (
	ErrBlank      = errors.New("ledger: there is none")
	ErrVersion    = errors.New("ledger: of an unknown version")
	ErrForeign    = errors.New("ledger: of another manager")
	ErrDamaged    = errors.New("ledger: torn, forged, or the wrong key")
	ErrRolledBack = errors.New("ledger: not the one that the hardware TPM knows as the last")
)

// ErrLast says that a ledger is not to be restored: it is the last one, and Open
// opens it.
var ErrLast = errors.New("ledger: it is the last one: nothing is to be restored")

// Errors of Commit and Get.
var (
	ErrFull     = errors.New("ledger: no room for another item")
	ErrTooLarge = errors.New("ledger: item is too large or has no ID")
	ErrNotFound = errors.New("ledger: no such item")

	// ErrDoubt says that a commit may have happened or not: the hardware
	// TPM did not answer. Settle, or the next Commit, finds out.
	ErrDoubt = errors.New("ledger: hardware TPM did not say whether it took the commit")

	// ErrSettled says that an earlier commit with ErrDoubt did happen, and
	// that this one was not tried: read again what it is based on.
	ErrSettled = errors.New("ledger: an earlier commit turned out to have happened")

	// ErrClosed is for what comes after Close.
	ErrClosed = errors.New("ledger: closed")
)

// A Damage is an item of which the committed version cannot be read. Others
// are served; a commit of a new body for it, or its deletion, mends it.
type Damage struct {
	ID     ID // zeros if a leaf is damaged too and nobody can tell
	Index  int
	Offset int64 // on the disk
	Why    error
}

func (d *Damage) Error() string {
	name := "item " + d.ID.String()
	if d.ID == (ID{}) {
		name = "an item"
	}
	return fmt.Sprintf("ledger: %s, number %d at %d of the disk, is damaged: %v", name, d.Index, d.Offset, d.Why)
}

func (d *Damage) Unwrap() error { return d.Why }

// A place is what the store knows of one item's two sectors.
type place struct {
	entry
	body   []byte  // nil: never used, or a tombstone
	damage *Damage // the body cannot be read
}

// used says whether the place belongs to an item.
func (p *place) used() bool { return p.body != nil || p.damage != nil }

// A Store is an open ledger. Its methods may be called by several goroutines.
type Store struct {
	cfg      Config
	keys     *keys
	capacity int

	mu      sync.Mutex // guards what follows
	places  []place    // by index
	index   map[ID]int
	free    []int // indices in use by no item, besides those from len(places) on
	queue   []*waiter
	leading bool // a goroutine has the disk and the anchor
	closed  bool
	epoch   uint32
	seq     uint64
	mode    Mode
	wear    wear
	reason  error // why the anchor could not be extended; nil if it could

	// Only who leads touches these.
	root     root   // the view's; in strict mode, and when nothing is in doubt, it is committed
	rootSlot int    // where it is
	encoded  []byte // its bytes
	leafSlot []int  // where its leaves are
	next     uint64 // sequence of the next attempt: none is used twice
	value    [32]byte
	pcr      [32]byte
	boot     uint64
	fresh    bool      // the chain began in this boot: links may be added
	doubt    *attempt  // written, and its extension was not answered
	unsure   *unsure   // an extension that may have been taken
	broken   error     // the anchor went on without this store: it is of no more use
	pending  time.Time // when the first commit was written that is not in the NV index; zero if all are
	want     int64     // credit at which a checkpoint is due; zero: none is
	timer    *time.Timer
	nvRetry  time.Time // no checkpoint before that is not necessary: the NV index failed
	shares   map[ID]*share
	erase    []int // indices whose slot not in use has to be overwritten
	ghost    bool  // the root slot not in use may have the root of an attempt that failed
}

// Get returns a copy of an item's body; ErrNotFound, or a *Damage.
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

// All returns the whole items as they are now, in no fixed order.
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

// Damaged returns what cannot be read, in the order of the disk.
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

// Sequence is that of the last commit. It rises with each, by one or more.
func (s *Store) Sequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Epoch is 1, and higher after each Restore.
func (s *Store) Epoch() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// NewBoot reports whether the next commit is a checkpoint in any case: always, but
// in budget mode once there was one since the hardware TPM was reset.
func (s *Store) NewBoot() (is bool) {
	s.alone(func() error { is = s.root.mode.Daily == 0 || !s.fresh; return nil })
	return is
}

// Room is how many items can be added.
func (s *Store) Room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capacity - len(s.index)
}

// Health is nil, or why commits fail now: what the anchor said last.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}
