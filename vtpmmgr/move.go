package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// ErrMove says that the order to move to new NV indices is not signed by the
// administrator for this moment.
var ErrMove = errors.New("vtpmmgr: the order to move to new NV indices is not signed by the administrator for this moment")

// challenge is what the administrator signs to have new NV indices take the place
// of those of the root record: the manager and those indices, the newest root of the
// ledger, and the count of the new indices, which no undefining sets back. Whose
// signature it has to be is in the configuration, that of this root: it is authentic.
func (m *Manager) challenge() (c [32]byte, of config, err error) {
	root, err := ledger.NewestRoot(m.ledgerConfig())
	if err != nil {
		return c, of, err
	}
	of, err = readTwice(func(id ledger.ID) ([]byte, error) { return ledger.Peek(m.ledgerConfig(), id) }, configItems(), decodeConfig)
	if err != nil {
		return c, of, err
	}
	counter, err := m.tpm.Successor(m.root, of.counter)
	if err != nil {
		return c, of, err
	}
	h := sha256.New()
	h.Write(m.id[:])
	binary.Write(h, binary.BigEndian, m.root.Indices())
	h.Write(root[:])
	binary.Write(h, binary.BigEndian, counter)
	return [32]byte(h.Sum(nil)), of, nil
}

// mayMove names in the error of a start what OpenMoved has to be given a signature
// of, if an NV index is gone or is not ours.
func (m *Manager) mayMove(err error) error {
	if !errors.Is(err, hwtpm.ErrIndexGone) && !errors.Is(err, hwtpm.ErrIndexOther) && !errors.Is(err, hwtpm.ErrMoved) {
		return err
	}
	c, _, e := m.challenge()
	if e != nil {
		return fmt.Errorf("%w; and new ones cannot be made: %w", err, e)
	}
	return fmt.Errorf("%w; to move to new ones: manager %x, challenge %x", err, m.id, c)
}

// OpenMoved opens a manager whose NV indices are gone, worn out or not its own, with
// new ones in their place: the newest root of the ledger on the disk is taken, in
// a new epoch. The signature is the administrator's, of proto.SignedMove for this
// manager and the challenge that the error of a start names, as ErrMove does; it serves
// once. A move that was cut off is completed by any signature, once its ledger
// is in the new indices.
func OpenMoved(cfg Config, signature []byte) (*Manager, error) {
	m, err := unlocked(cfg)
	if err != nil {
		return nil, err
	}
	c, of, err := m.challenge()
	if err != nil {
		return nil, err
	}
	var ordered error
	if !ed25519.Verify(of.admin[:], proto.SignedMove(m.id, c), signature) {
		ordered = fmt.Errorf("%w: manager %x, challenge %x", ErrMove, m.id, c)
	}
	next, err := m.tpm.Succeed(m.root, ordered)
	if err != nil {
		return nil, err
	}
	if m.store, err = ledger.Open(m.ledgerConfig()); err != nil {
		if !errors.Is(err, ledger.ErrRolledBack) {
			return nil, err
		}
		if ordered != nil {
			return nil, ordered
		}
		if err := m.moveLedger(); err != nil {
			return nil, err
		}
	}
	if err := m.writeRoot(next); err != nil {
		return nil, err
	}
	if err := m.start("move to new NV indices"); err != nil {
		return nil, err
	}
	return m, nil
}

// moveLedger makes the newest root that there is the one that the new indices name.
func (m *Manager) moveLedger() error {
	// Counted first: the order is used up, and the epoch is one of its own.
	if err := m.tpm.Count(); err != nil {
		return err
	}
	n, err := m.tpm.Counter()
	if err != nil {
		return err
	}
	m.store, err = ledger.Move(m.ledgerConfig(), uint32(n))
	return err
}
