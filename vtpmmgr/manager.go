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
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/slot"
	"stubtpm/vtpmmgr/proto"
)

// Config is what a Manager is built from. TPM and Disk are required.
type Config struct {
	TPM  transport.TPM
	Disk block.Device

	// PCRs are the SHA-256 PCRs of the hardware TPM to which a new root key
	// is sealed; used by Initialise only.
	PCRs []uint

	// Guard, if set, keeps old copies of the disk from being taken.
	Guard Guard

	// Log is told of events: never keys, never bodies of messages.
	Log func(format string, args ...any)
}

// A Guard remembers, where nobody can set it back, which version of the ledger
// is the last: a monotonic counter of the hardware TPM. None is written yet,
// and without one an old but whole copy of the manager's disk is taken.
type Guard interface {
	// Check refuses a ledger that is not the last one; at start.
	Check(sequence uint64) error

	// Advance makes the ledger the last one; after it is durable on disk and
	// before anybody is told.
	Advance(sequence uint64) error
}

// A Manager serves vTPMs and administrators. Its methods may be called by
// several goroutines. Requests wait for each other in the order in which they
// came, and each peer has one at a time, so that a flood of one delays another
// by one request.
type Manager struct {
	cfg Config

	mu        sync.Mutex
	key       []byte // root key
	srkName   []byte
	session   tpm2.Session // for random bytes; nil until one is needed
	endUse    func() error // flushes session
	store     *slot.Store
	sequence  uint64 // of the ledger
	ledger    ledger
	connected map[UUID]*Session
}

// behind is the part of a disk behind the root record.
type behind struct{ block.Device }

func (b behind) Size() int64 { return b.Device.Size() - rootArea }
func (b behind) ReadAt(p []byte, off int64) (int, error) {
	return b.Device.ReadAt(p, off+rootArea)
}
func (b behind) WriteAt(p []byte, off int64) (int, error) {
	return b.Device.WriteAt(p, off+rootArea)
}

func newManager(cfg Config) (*Manager, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Disk.Size() < rootArea+slot.MinDisk {
		return nil, fmt.Errorf("vtpmmgr: disk of %d bytes, need at least %d", cfg.Disk.Size(), rootArea+slot.MinDisk)
	}
	m := &Manager{cfg: cfg, connected: map[UUID]*Session{}}
	return m, m.startTPM()
}

// startTPM makes the hardware TPM ready: firmware may have done it already.
func (m *Manager) startTPM() error {
	_, err := tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(m.cfg.TPM)
	if err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		return fmt.Errorf("vtpmmgr: hardware TPM: %w", err)
	}
	return nil
}

func (m *Manager) open(r *root, key []byte) (err error) {
	m.key, m.srkName = key, r.srkName
	m.store, err = slot.Open(behind{m.cfg.Disk}, slot.ID{UUID: r.id, Purpose: slot.Manager})
	return err
}

// Initialise makes a new, empty ledger on a disk that has none, with a new
// root key. It refuses a disk with a root record, whose ledger would be lost, with
// ErrInitialised, and one with anything else where it goes with ErrNotBlank.
func Initialise(cfg Config) (*Manager, error) {
	m, err := newManager(cfg)
	if err != nil {
		return nil, err
	}
	if err := checkBlank(cfg.Disk); err != nil {
		return nil, err
	}
	key := make([]byte, slot.KeySize)
	rand.Read(key)
	r, err := seal(cfg.TPM, key, cfg.PCRs)
	if err != nil {
		return nil, err
	}
	rand.Read(r.id[:])
	if err := m.open(&r, key); err != nil {
		return nil, err
	}
	m.ledger = ledger{}
	if err := m.save(); err != nil {
		return nil, err
	}
	// The root record last: an initialisation that was cut off before it
	// leaves a disk that can be initialised again.
	if err := writeRoot(cfg.Disk, &r); err != nil {
		return nil, err
	}
	return m, nil
}

// Open returns the manager of an initialised disk.
func Open(cfg Config) (*Manager, error) {
	m, err := newManager(cfg)
	if err != nil {
		return nil, err
	}
	r, err := readRoot(cfg.Disk)
	if err != nil {
		return nil, err
	}
	key, err := unseal(cfg.TPM, &r)
	if err != nil {
		return nil, err
	}
	if err := m.open(&r, key); err != nil {
		return nil, err
	}
	b, v, err := m.store.Load(key, nil)
	if err != nil {
		return nil, fmt.Errorf("vtpmmgr: ledger: %w", err)
	}
	if cfg.Guard != nil {
		if err := cfg.Guard.Check(v.Sequence); err != nil {
			return nil, fmt.Errorf("vtpmmgr: ledger: %w", err)
		}
	}
	m.sequence = v.Sequence
	if m.ledger, err = decodeLedger(b); err != nil {
		return nil, err
	}
	return m, nil
}

// save makes the ledger durable. A group commit belongs here.
func (m *Manager) save() error {
	m.sequence++
	if _, err := m.store.Save(m.key, m.sequence, m.ledger.encode()); err != nil {
		return err
	}
	if m.cfg.Guard != nil {
		if err := m.cfg.Guard.Advance(m.sequence); err != nil {
			return err
		}
	}
	m.store.Confirm()
	return nil
}

// set changes one entry, durably; on error the ledger is as it was.
func (m *Manager) set(u UUID, e *entry) proto.Code {
	old, was := m.ledger[u]
	if e != nil {
		m.ledger[u] = *e
	} else {
		delete(m.ledger, u)
	}
	if err := m.save(); err != nil {
		m.cfg.Log("vtpmmgr: ledger: %v", err)
		if was {
			m.ledger[u] = old
		} else {
			delete(m.ledger, u)
		}
		return proto.Failed
	}
	return proto.OK
}

func (m *Manager) someRandom(n int) (*tpm2.GetRandomResponse, error) {
	if m.session == nil {
		s, end, err := randomSession(m.cfg.TPM, m.srkName)
		if err != nil {
			return nil, err
		}
		m.session, m.endUse = s, end
	}
	return tpm2.GetRandom{BytesRequested: uint16(n)}.Execute(m.cfg.TPM, m.session)
}

// random returns random bytes of the hardware TPM.
func (m *Manager) random(n int) ([]byte, error) {
	b := make([]byte, 0, n)
	for len(b) < n {
		r, err := m.someRandom(min(n-len(b), 32))
		if err != nil {
			// The TPM may have been reset and the session gone with it.
			if m.session != nil {
				m.endUse()
				m.session = nil
			}
			r, err = m.someRandom(min(n-len(b), 32))
		}
		if err != nil {
			return nil, fmt.Errorf("vtpmmgr: hardware TPM: %w", err)
		}
		if len(r.RandomBytes.Buffer) == 0 {
			return nil, errors.New("vtpmmgr: hardware TPM gives no random bytes")
		}
		b = append(b, r.RandomBytes.Buffer...)
	}
	return b[:n], nil
}

// Random returns random bytes of the hardware TPM, for the manager's own
// generator.
func (m *Manager) Random(n int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random(n)
}
