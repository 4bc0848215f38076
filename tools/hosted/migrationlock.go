package hosted

import (
	"bytes"
	"errors"
)

// Storage that two hosts share has one lock. The destination of a migration
// (--migration incoming) takes it at CMD_INIT; the source
// (--migration release-lock-outgoing) releases it with its last state blob, and
// takes it again if the migration failed and the guest goes on.

// Tries for the lock, one every 10 ms.
const (
	incomingRetries = 300
	maxRetries      = 3000 // of CMD_LOCK_STORAGE
)

var errMoved = errors.New("the TPM's state was changed by another process while the lock was released: this TPM is powered off")

// LockStorage is CMD_LOCK_STORAGE: it takes the lock of the state directory. It
// retries up to retries times, 10 ms apart, for 30 seconds at most.
func (m *Machine) LockStorage(retries uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lockStorage(int(min(retries, maxRetries)))
}

// lockStorage takes the lock. A TPM that kept its power without the lock loses it
// if another process has changed the state in the meantime.
func (m *Machine) lockStorage(retries int) error {
	if m.files.held {
		return nil
	}
	if err := m.files.Lock(retries); err != nil {
		return err
	}
	if m.tpm == nil {
		return nil
	}
	now, err := m.files.Load(BlobPermanent)
	if err == nil && !bytes.Equal(now, m.unlocked) {
		err = errMoved
	}
	if err != nil {
		m.dropPower()
	}
	return err
}

// releaseStorage releases the lock after the last blob of an outgoing
// migration. Until it is taken again the TPM runs no command.
func (m *Machine) releaseStorage() error {
	if !m.releaseLock || m.tpm == nil || !m.files.held {
		return nil
	}
	var err error
	if m.unlocked, err = m.files.Load(BlobPermanent); err != nil {
		return err
	}
	m.log("released the lock of %s for the destination of a migration", m.files)
	return m.files.Unlock()
}
