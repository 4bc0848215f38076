package vtpmmgr

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// Config is what a Manager is built from. TPM and Disk are required.
type Config struct {
	TPM  transport.TPM
	Disk block.Device

	// OwnerAuth is the password of the hardware TPM's owner hierarchy.
	OwnerAuth []byte

	// Mode is how commits are tied to the hardware TPM; zero is strict. Open
	// takes it if it is stronger than the ledger's own, unless KeepMode is set.
	Mode     ledger.Mode
	KeepMode bool

	// PCR of the hardware TPM that links commits in budget mode: 8 to 15, or zero
	// for hwtpm.DefaultPCR.
	PCR uint

	// CommitRate is how many commits a second each vTPM may make for long; zero for
	// 32, and in strict mode one in ten seconds.
	CommitRate float64

	// Endurance is how many writes the hardware TPM's NV memory bears, for
	// STATUS; ledger.DefaultEndurance if zero.
	Endurance int

	// CRL is the URL at which the operator puts the revocation list of the host's
	// certificates; it is named in each of them. Empty for none.
	CRL string

	// Seed, if set, mixes random bytes into the generator that keys are drawn
	// from; Initialize calls it before it draws any.
	Seed func(b []byte)

	// CheckProfile, if set, returns why no TPM can be made of the stored form of a
	// profile. ENROLL and AMEND refuse such a one.
	CheckProfile func(stored string) error

	// Log is told of events: never keys, never bodies of messages.
	Log func(format string, args ...any)
}

func newManager(cfg Config) (*Manager, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if need := int64(hwtpm.Area + ledger.MinArea); cfg.Disk.Size() < need {
		return nil, fmt.Errorf("vtpmmgr: disk of %d bytes, need at least %d", cfg.Disk.Size(), need)
	}
	tpm, err := hwtpm.Open(cfg.TPM, hwtpm.Options{OwnerAuth: cfg.OwnerAuth, PCR: cfg.PCR, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	disk := &monitoredDisk{Device: cfg.Disk}
	return &Manager{cfg: cfg, tpm: tpm, disk: disk, copies: hwtpm.NewCopies(disk), connected: map[UUID]*Session{},
		measured: map[uint16]image{}, shares: map[UUID]*shares{}, certified: map[UUID]*certified{}, groupOrders: map[uint32]*bucket{}, groupMoves: map[uint32]*bucket{}, guests: map[UUID]guest{}, frozen: map[UUID]uint64{}, moving: map[UUID]*moving{}, moves: map[UUID]*transfer.Source{}, refused: map[proto.Code]uint64{}}, nil
}

// read takes the ledger into memory. m.mu is held, or nobody else is there.
func (m *Manager) read() error {
	var err error
	if m.config, err = readTwice(m.store.Get, configItems(), decodeConfig); err != nil {
		return err
	}
	if m.identity, m.noIdentity = readIdentity(m.store.Get); m.noIdentity != nil {
		m.cfg.Log("vtpmmgr: the host's identity cannot be read: %v", m.noIdentity)
	}
	if m.revoked, m.notRevoked = readRevocations(m.store.Get); m.notRevoked != nil {
		m.cfg.Log("vtpmmgr: a part of the revocation list cannot be read: %v", m.notRevoked)
	}
	m.certified = map[UUID]*certified{}
	m.records, m.sorted, m.groups = map[UUID]record{}, nil, map[uint32]*group{}
	programs, moving := map[UUID]string{}, map[UUID]bool{}
	for _, b := range m.store.All() {
		if len(b) == 0 {
			continue
		}
		switch b[0] {
		case kindVTPM:
			r, err := decodeRecord(b)
			if err != nil {
				return err
			}
			m.records[r.uuid] = r
		case kindGroup:
			g, err := decodeGroup(b, m.keys.groups)
			if err != nil {
				return err
			}
			m.groups[g.ID] = g
		case kindPrograms:
			u, list, err := decodePrograms(b)
			if err != nil {
				return err
			}
			programs[u] = list
		case kindMoving:
			if len(b) >= movingPart {
				moving[UUID(b[movingUUID:])] = true
			}
		case kindCertified:
			c, err := decodeCertified(b)
			if err != nil {
				return err
			}
			m.certified[c.uuid] = c
		}
	}
	m.addPrograms(programs)
	m.readMoving(moving)
	return nil
}

// addPrograms completes the records that were read. m.mu is held.
func (m *Manager) addPrograms(programs map[UUID]string) {
	for u, r := range m.records {
		if !r.listed {
			continue
		}
		if r.programs = programs[u]; r.programs == "" {
			m.cfg.Log("vtpmmgr: the programs that guests of %v may start with cannot be read: none may be started", u)
		}
		m.records[u] = r
	}
}

// readTwice reads an item that is in two places.
func readTwice[T any](get func(ledger.ID) ([]byte, error), ids [2]ledger.ID, decode func([]byte) (T, error)) (v T, err error) {
	for _, id := range ids {
		var b []byte
		if b, err = get(id); err == nil {
			return decode(b)
		}
	}
	return v, err
}

// settle reads the ledger again if the outcome of a commit was unknown.
func (m *Manager) settle() error {
	m.mu.Lock()
	doubts, settled := m.doubts, m.settled
	m.mu.Unlock()
	if doubts == settled {
		return nil
	}
	if err := m.store.Resolve(); err != nil && !errors.Is(err, ledger.ErrResolved) {
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

// commit writes changes of the ledger. Nothing is locked: so others come along
// in the same commit.
func (m *Manager) commit(class ledger.Class, changes ...ledger.Change) proto.Code {
	err := m.store.CommitAs(class, changes...)
	if err == nil {
		return proto.OK
	}
	m.cfg.Log("vtpmmgr: %v", err)
	switch {
	case errors.Is(err, ledger.ErrFull):
		return proto.Full
	case errors.Is(err, ledger.ErrInDoubt), errors.Is(err, ledger.ErrResolved):
		m.mu.Lock()
		m.doubts++
		m.mu.Unlock()
	}
	return proto.Failed
}

// set makes a vTPM's record another, durably, or with nil none, with other
// changes in the same commit. On error it is as it was, or settle finds out.
// Preconditions: the caller has the turn of u.
func (m *Manager) set(class ledger.Class, u UUID, to *record, with ...ledger.Change) proto.Code {
	code := m.commit(class, append(with, m.recordChanges(u, to)...)...)

	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case code != proto.OK:
	case to != nil:
		if _, known := m.records[u]; !known {
			m.sorted = nil
		}
		m.records[u] = *to
	default:
		m.sorted = nil
		delete(m.records, u)
		delete(m.moving, u)
		delete(m.frozen, u)
	}
	return code
}

// recordChanges returns the changes that make a vTPM's record another, or with nil none.
func (m *Manager) recordChanges(u UUID, to *record) []ledger.Change {
	m.mu.Lock()
	from := m.records[u]
	m.mu.Unlock()
	switch {
	case to != nil && (to.programs != from.programs || from.listed && !to.listed):
		return []ledger.Change{to.change(), to.programsChange()}
	case to != nil:
		return []ledger.Change{to.change()}
	}
	gone := append([]ledger.Change{{ID: vtpmItem(u)}}, m.noMoving(u)...)
	if _, err := m.store.Get(programsItem(u)); !errors.Is(err, ledger.ErrNotFound) {
		gone = append(gone, ledger.Change{ID: programsItem(u)})
	}
	return gone
}

// isConnected reports whether a domain is connected as this vTPM.
func (m *Manager) isConnected(u UUID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connected[u] != nil
}

// endSession takes back that a domain was admitted as this vTPM: it has to load
// again, and is admitted again or not.
func (m *Manager) endSession(u UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.connected, u)
}

// endGroup does so for all vTPMs of a group.
func (m *Manager) endGroup(id uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for u := range m.connected {
		if m.records[u].group == id {
			delete(m.connected, u)
		}
	}
}

// group returns a group, or nil.
func (m *Manager) group(id uint32) *group {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[id]
}

// damaged reports whether there is a record of a vTPM that cannot be read: it is
// not for a new one to take its place.
func (m *Manager) damaged(u UUID) bool {
	_, err := m.store.Get(vtpmItem(u))
	var d *ledger.Damage
	return errors.As(err, &d)
}

// uuids returns the vTPMs in a fixed order, which the caller must not change. m.mu is held.
func (m *Manager) uuids() []UUID {
	if m.sorted == nil {
		m.sorted = slices.SortedFunc(maps.Keys(m.records), func(a, b UUID) int { return bytes.Compare(a[:], b[:]) })
	}
	return m.sorted
}

// Random returns random bytes of the hardware TPM, for the manager's own
// generator.
func (m *Manager) Random(n int) ([]byte, error) { return m.tpm.Random(n) }

// Close makes durable what a bounded mode would make so later.
func (m *Manager) Close() error { return m.store.Close() }
