// Package vtpmmgr is the vTPM manager: it alone holds the hardware TPM, keeps
// the key and the hash of the state of each vTPM, and gives a vTPM its own.
//
// It is pure logic over a hardware TPM (google/go-tpm's transport), a disk and
// a connection that says who is at its other end. It has no build tag and runs
// anywhere. A domain's main has to do no more than
//
//	m, err := vtpmmgr.Open(vtpmmgr.Config{TPM: tpm, Disk: disk, Log: log})
//	...
//	s, err := m.Open(vtpmmgr.Peer{Domain: domid, UUID: uuid}) // per connection
//	response := s.Execute(request)
//	s.Close()
package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// Config is what a Manager is built from. TPM and Disk are required.
type Config struct {
	TPM  transport.TPM
	Disk block.Device

	// OwnerAuth is the password of the hardware TPM's owner hierarchy.
	OwnerAuth []byte

	// PCRs are the SHA-256 PCRs of the hardware TPM to which a new root key
	// is sealed as they are now, in rising order; used by Initialise only.
	PCRs []uint

	// Operator, if set, is a key of P-256 that may approve other values of the
	// PCRs; used by Initialise only.
	Operator *ecdsa.PublicKey

	// Mode says how commits are tied to the hardware TPM; zero is strict.
	Mode ledger.Mode

	// Log is told of events: never keys, never bodies of messages.
	Log func(format string, args ...any)
}

// ErrCounter says that the hardware TPM's counter of starts is lower than it
// was.
var ErrCounter = errors.New("vtpmmgr: the hardware TPM's counter ran backwards")

// A Manager serves vTPMs and administrators. Its methods may be called by
// several goroutines. Each peer has one request at a time; commits that wait at
// the same time share one write of the disk and one of the hardware TPM.
type Manager struct {
	cfg   Config
	tpm   *hwtpm.TPM
	store *ledger.Store
	id    [16]byte

	mu        sync.Mutex
	records   map[UUID]record
	doubts    int           // commits whose outcome was unknown when they failed
	settled   int           // of them, those after which the ledger was read again
	busy      map[UUID]bool // a change of its record is under way
	connected map[UUID]*Session
}

func newManager(cfg Config) (*Manager, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if need := int64(hwtpm.Area + ledger.MinArea); cfg.Disk.Size() < need {
		return nil, fmt.Errorf("vtpmmgr: disk of %d bytes, need at least %d", cfg.Disk.Size(), need)
	}
	tpm, err := hwtpm.Open(cfg.TPM, hwtpm.Options{OwnerAuth: cfg.OwnerAuth, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	return &Manager{cfg: cfg, tpm: tpm, busy: map[UUID]bool{}, connected: map[UUID]*Session{}}, nil
}

// ledgerConfig is that of the ledger behind the root record.
func (m *Manager) ledgerConfig(key []byte) ledger.Config {
	return ledger.Config{Disk: m.cfg.Disk, Offset: hwtpm.Area, Manager: m.id, Key: key,
		Anchor: m.tpm.Anchor(), Mode: m.cfg.Mode, Log: m.cfg.Log}
}

// Initialise makes a new, empty ledger on a disk that has none, with a new
// root key. It refuses a disk with a root record, whose ledger would be lost, with
// hwtpm.ErrInitialised, and one with anything else where it goes with
// hwtpm.ErrNotBlank.
func Initialise(cfg Config) (*Manager, error) {
	m, err := newManager(cfg)
	if err != nil {
		return nil, err
	}
	if err := hwtpm.CheckBlank(cfg.Disk); err != nil {
		return nil, err
	}
	key := make([]byte, hwtpm.KeySize)
	defer clear(key)
	rand.Read(key)
	rand.Read(m.id[:])
	r, err := m.tpm.Create(m.id, key, hwtpm.Policy{PCRs: cfg.PCRs, Operator: cfg.Operator})
	if err != nil {
		return nil, err
	}
	if err := m.format(key); err != nil {
		// A loss of power leaves the indices behind; an error need not.
		if e := m.tpm.Abandon(r); e != nil {
			m.cfg.Log("%v", e)
		}
		return nil, err
	}
	// The root record last: an initialisation that was cut off before it
	// leaves a disk that can be initialised again.
	if err := hwtpm.WriteRecord(cfg.Disk, r); err != nil {
		return nil, err
	}
	return m, nil
}

// format makes the ledger.
func (m *Manager) format(key []byte) error {
	var err error
	if m.store, err = ledger.Format(m.ledgerConfig(key)); err != nil {
		return err
	}
	m.records = map[UUID]record{}
	n, err := m.tpm.Counter()
	if err != nil {
		return err
	}
	return m.store.Commit(counterChanges(n)...)
}

// Open returns the manager of an initialised disk. A disk that is not the last
// one that the hardware TPM knows of is ledger.ErrRolledBack.
func Open(cfg Config) (*Manager, error) {
	m, err := newManager(cfg)
	if err != nil {
		return nil, err
	}
	r, err := hwtpm.ReadRecord(cfg.Disk)
	if err != nil {
		return nil, err
	}
	key, err := m.tpm.Unlock(r)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	m.id = r.ID()
	if m.store, err = ledger.Open(m.ledgerConfig(key)); err != nil {
		return nil, err
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	if err := m.count(); err != nil {
		return nil, err
	}
	return m, nil
}

// count counts this start in the hardware TPM.
func (m *Manager) count() error {
	last, err := m.lastCounter()
	if err != nil {
		return err
	}
	n, err := m.tpm.Counter()
	if err != nil {
		return err
	}
	if n < last {
		return fmt.Errorf("%w: it is %d, and was %d", ErrCounter, n, last)
	}
	if err := m.tpm.Count(); err != nil {
		return err
	}
	if n, err = m.tpm.Counter(); err != nil {
		return err
	}
	return m.store.Commit(counterChanges(n)...)
}

// lastCounter reads what the last start wrote.
func (m *Manager) lastCounter() (uint64, error) {
	var why error
	for _, id := range counterItems {
		b, err := m.store.Get(id)
		if err == nil {
			return decodeCounter(b)
		}
		why = err
	}
	return 0, why
}

// read takes the records into memory. m.mu is held, or nobody else is there.
func (m *Manager) read() error {
	m.records = map[UUID]record{}
	for _, b := range m.store.All() {
		if len(b) == 0 || b[0] != kindVTPM {
			continue
		}
		r, err := decodeRecord(b)
		if err != nil {
			return err
		}
		m.records[r.uuid] = r
	}
	return nil
}

// settle reads the ledger again if the outcome of a commit was unknown.
func (m *Manager) settle() error {
	m.mu.Lock()
	doubts, settled := m.doubts, m.settled
	m.mu.Unlock()
	if doubts == settled {
		return nil
	}
	if err := m.store.Settle(); err != nil && !errors.Is(err, ledger.ErrSettled) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.read(); err != nil {
		return err
	}
	m.settled = max(m.settled, doubts) // another may have come meanwhile
	return nil
}

// set changes one record, durably, from what it is to what it is to be; nil is
// for none. On error it is as it was, or settle finds out.
func (m *Manager) set(u UUID, from, to *record) proto.Code {
	m.mu.Lock()
	now, known := m.records[u]
	if m.busy[u] || known != (from != nil) || known && now != *from {
		// A vTPM has one request at a time; an administrator came between.
		m.mu.Unlock()
		return proto.Failed
	}
	m.busy[u] = true
	m.mu.Unlock()

	// Without the lock: so others come along in the same commit.
	change := ledger.Change{ID: u.item()}
	if to != nil {
		change = to.change()
	}
	err := m.store.Commit(change)

	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, u)
	if err != nil {
		m.cfg.Log("vtpmmgr: %v", err)
		if errors.Is(err, ledger.ErrDoubt) || errors.Is(err, ledger.ErrSettled) {
			m.doubts++
		}
		return proto.Failed
	}
	if to != nil {
		m.records[u] = *to
	} else {
		delete(m.records, u)
	}
	return proto.OK
}

// record returns what is known of a vTPM.
func (m *Manager) record(u UUID) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[u]
	return r, ok
}

// damaged says whether there is a record of a vTPM that cannot be read: it is
// not for a new one to take its place.
func (m *Manager) damaged(u UUID) bool {
	_, err := m.store.Get(u.item())
	var d *ledger.Damage
	return errors.As(err, &d)
}

// uuids returns the vTPMs in a fixed order. m.mu is held.
func (m *Manager) uuids() []UUID {
	return slices.SortedFunc(maps.Keys(m.records), func(a, b UUID) int { return bytes.Compare(a[:], b[:]) })
}

// Random returns random bytes of the hardware TPM, for the manager's own
// generator.
func (m *Manager) Random(n int) ([]byte, error) { return m.tpm.Random(n) }

// Close makes durable what a bounded mode would make so later.
func (m *Manager) Close() error { return m.store.Close() }
