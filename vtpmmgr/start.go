package vtpmmgr

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A Setup is what a manager is given once, by Initialize.
type Setup struct {
	// Admin is the key that orders have to be signed with. It is required.
	Admin ed25519.PublicKey

	// Host, if set, is a key that may tell which image a domain runs, and
	// nothing else.
	Host ed25519.PublicKey

	// PCRs are the SHA-256 PCRs of the hardware TPM to which the root key is
	// sealed as they are now, in rising order.
	PCRs []uint

	// Operator, if set, is a key of P-256 that may approve other values of the
	// PCRs.
	Operator *ecdsa.PublicKey
}

// Errors of starting a manager, besides those of packages hwtpm and ledger.
var (
	ErrCounter = errors.New("vtpmmgr: the hardware TPM's counter ran backwards")
	ErrRestore = errors.New("vtpmmgr: the order to restore is not signed by the administrator for this moment")
)

// unlock takes the root key apart, and forgets it.
func (m *Manager) unlock(r *hwtpm.Record, key []byte) (err error) {
	m.root, m.id = r, r.ID()
	m.keys, err = newKeys(key)
	clear(key)
	return err
}

// ledgerConfig is that of the ledger behind the root record.
func (m *Manager) ledgerConfig() ledger.Config {
	return ledger.Config{Disk: m.disk, Offset: hwtpm.Area, Manager: m.id, Key: m.keys.ledger,
		Anchor: m.tpm.Anchor(), PCR: uint32(m.tpm.ChainPCR()), Mode: m.cfg.Mode, Keep: m.cfg.KeepMode, Log: m.cfg.Log}
}

// Initialize makes a new, empty ledger on a disk that has none, with a new
// root key. It refuses a disk with a root record, whose ledger would be lost, with
// hwtpm.ErrInitialized, and one with anything else where it goes with
// hwtpm.ErrNotBlank.
func Initialize(cfg Config, s Setup) (*Manager, error) {
	if len(s.Admin) != ed25519.PublicKeySize || len(s.Host) != 0 && len(s.Host) != ed25519.PublicKeySize {
		return nil, errors.New("vtpmmgr: an administrator's key of 32 bytes is needed")
	}
	m, err := newManager(cfg)
	if err != nil {
		return nil, err
	}
	if err := hwtpm.CheckBlank(cfg.Disk); err != nil {
		return nil, err
	}
	if err := m.tpm.RemoveLeftovers(cfg.Disk); err != nil {
		return nil, err
	}
	if l := m.tpm.Limits(); l != (hwtpm.Limits{}) {
		m.cfg.Log("vtpmmgr: hardware TPM: %d NV counters in use, room for %d; %v between writes of NV memory", l.CountersUsed, l.CountersFree, l.WriteRecovery)
	}
	// The processor's generator alone may be a weak one: what is drawn here
	// lives as long as the ledger.
	seed, err := m.tpm.Random(proto.MaxRandom)
	if err != nil {
		return nil, err
	}
	if cfg.Seed != nil {
		cfg.Seed(seed)
	}
	key := make([]byte, hwtpm.KeySize)
	defer clear(key)
	rand.Read(key)
	var id [16]byte
	rand.Read(id[:])
	r, err := m.tpm.Create(id, key, hwtpm.Policy{PCRs: s.PCRs, Operator: s.Operator},
		func(r *hwtpm.Record) error { return hwtpm.WriteIntent(cfg.Disk, r) })
	if err != nil {
		return nil, err
	}
	if err := m.unlock(r, key); err != nil {
		return nil, err
	}
	if err := m.format(s); err != nil {
		// A loss of power leaves the indices behind; an error need not.
		if e := m.tpm.Abandon(r); e != nil {
			m.cfg.Log("%v", e)
		}
		return nil, err
	}
	// The root record last: an initialization that was cut off before it
	// leaves a disk that can be initialized again.
	if err := m.copies.Write(r); err != nil {
		return nil, err
	}
	return m, nil
}

// format makes the ledger, with a group that is there from the beginning.
func (m *Manager) format(s Setup) error {
	var err error
	if m.store, err = ledger.Format(m.ledgerConfig()); err != nil {
		return err
	}
	c := config{admin: [32]byte(s.Admin), audit: newAuditEnds(m.store.Room())}
	if len(s.Host) != 0 {
		c.host = [32]byte(s.Host)
	}
	if c.counter, err = m.tpm.Counter(); err != nil {
		return err
	}
	if _, c.boot, err = m.tpm.Anchor().Chain(); err != nil {
		m.cfg.Log("vtpmmgr: %v", err)
	}
	m.config, m.records, m.fromBoot = c, map[UUID]record{}, true
	g := &group{Group: proto.Group{Name: "default"}}
	rand.Read(g.key[:])
	m.groups = map[uint32]*group{0: g}
	return m.logged(ledger.Class{}, "initialize", fmt.Sprintf("PCRs %v", s.PCRs), g.changes(m.keys.groups)...)
}

// logged commits changes at a start, with an entry of the audit log.
func (m *Manager) logged(class ledger.Class, event, detail string, changes ...ledger.Change) error {
	c, entry := m.config.entry(proto.ManagerLog, UUID{}, event, detail)
	changes = append(append(changes, c.changes()...), entry)
	if err := m.store.CommitAs(class, changes...); err != nil {
		return err
	}
	m.config = c
	return nil
}

// unlocked reads the root record and has its key.
func unlocked(cfg Config) (*Manager, error) {
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
	if err := m.unlock(r, key); err != nil {
		return nil, err
	}
	return m, nil
}

// Open returns the manager of an initialized disk. A disk that is not the last
// one that the hardware TPM knows of is ledger.ErrRolledBack; the error names
// what OpenRestored has to be given a signature of.
func Open(cfg Config) (*Manager, error) {
	m, err := unlocked(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.tpm.CheckNewest(m.root); err != nil {
		return nil, m.mayMove(err)
	}
	if m.store, err = ledger.Open(m.ledgerConfig()); err != nil {
		if errors.Is(err, ledger.ErrRolledBack) {
			if n, e := m.tpm.Counter(); e == nil {
				err = fmt.Errorf("%w; to restore it: manager %x, counter %d", err, m.id, n)
			}
		}
		return nil, m.mayMove(err)
	}
	if err := m.start("start"); err != nil {
		return nil, m.mayMove(err)
	}
	return m, nil
}

// OpenRestored opens an old copy of the manager's disk, which Open refuses with
// ledger.ErrRolledBack, into a new epoch. The signature is the administrator's, of
// proto.SignedRestore for this manager and the hardware counter's present value;
// it serves once.
func OpenRestored(cfg Config, signature []byte) (*Manager, error) {
	m, err := unlocked(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.tpm.CheckNewest(m.root); err != nil {
		return nil, m.mayMove(err)
	}
	// Whose key it is says the old ledger itself: it is authentic, only old.
	c, err := readTwice(func(id ledger.ID) ([]byte, error) { return ledger.Peek(m.ledgerConfig(), id) }, configItems(), decodeConfig)
	if err != nil {
		return nil, err
	}
	n, err := m.tpm.Counter()
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(c.admin[:], proto.SignedRestore(m.id, n), signature) {
		return nil, fmt.Errorf("%w: manager %x, counter %d", ErrRestore, m.id, n)
	}
	// Counted first: the order is used up, and the epoch is one of its own.
	if err := m.tpm.Count(); err != nil {
		return nil, err
	}
	if n, err = m.tpm.Counter(); err != nil {
		return nil, err
	}
	if m.store, err = ledger.Restore(m.ledgerConfig(), uint32(n)); err != nil {
		return nil, err
	}
	if err := m.start("restore ledger"); err != nil {
		return nil, err
	}
	return m, nil
}

// start reads the ledger, commits that there was a start, and, if the platform was reset
// since the last one, counts it in the hardware TPM: orders to restore that were signed before
// serve no more. The configuration has what the count is to be, so that a start that
// fails before its commit wears nothing, and one that is cut off before it counts is
// counted by the next.
func (m *Manager) start(event string) error {
	if err := m.read(); err != nil {
		return err
	}
	n, err := m.tpm.Counter()
	if err != nil {
		return err
	}
	if n+1 < m.config.counter {
		return fmt.Errorf("%w: it is %d, and was %d", ErrCounter, n, m.config.counter)
	}
	class := ledger.Class{Urgency: ledger.Idle} // a manager that ends again and again wears nothing
	if _, boot, err := m.tpm.Anchor().Chain(); err == nil {
		m.fromBoot, m.config.boot = boot != m.config.boot, boot
	} else {
		m.cfg.Log("vtpmmgr: whether the host has started since is not known, so plain starts of guests are not taken for starts: %v", err)
	}
	if m.config.counter = max(n, m.config.counter); m.store.NewBoot() {
		m.config.counter = n + 1
	}
	if err := m.logged(class, event, fmt.Sprintf("epoch %d, counter %d", m.store.Epoch(), m.config.counter)); err != nil {
		return err
	}
	if n < m.config.counter {
		if err := m.tpm.Count(); err != nil {
			return err
		}
	}
	m.keepRoot()
	m.checkIdentity()
	return nil
}

// keepRoot makes sure that the next start has the root key too, once the ledger has
// opened with it. What it cannot do now is tried again at the next start.
func (m *Manager) keepRoot() {
	if err := m.copies.Write(m.root); err != nil {
		m.cfg.Log("vtpmmgr: a copy of the root record cannot be repaired: %v", err)
	} else if err := m.reseal(); err != nil {
		m.cfg.Log("vtpmmgr: the root key is not sealed to the present PCRs first: %v", err)
	}
	if err := m.tpm.RemoveUnused(m.root); err != nil {
		m.cfg.Log("vtpmmgr: NV indices of a move that was not ordered stay: %v", err)
	}
	next, err := m.tpm.RetireOlder(m.root)
	if m.oldIndices = err; err != nil {
		m.cfg.Log("vtpmmgr: old NV indices stay, and let an old disk in: %v", err)
	}
	if next != nil {
		if err := m.writeRoot(next); err != nil {
			m.cfg.Log("vtpmmgr: the root record still names old NV indices that are gone: %v", err)
		}
	}
}
