package hosted

import (
	"bytes"
	"errors"
)

// StoreVolatile writes the volatile state to its file, so that the next
// PowerOn resumes from it.
func (m *Machine) StoreVolatile() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm == nil {
		return errOff
	}
	b, err := m.volatile()
	if err != nil {
		return err
	}
	if err := m.files.saveVolatile(b); err != nil {
		return err
	}
	m.stored = true
	return nil
}

// The volatile state, as a file or a blob, is a header of 4 bytes followed by the
// device's own state. The header is "sTM" and a byte with the bit tpmEstablished.
// States of earlier versions have no header.
const volatilePrefix = "sTM"

func (m *Machine) volatile() ([]byte, error) {
	s, ok := m.tpm.(Snapshotter)
	if !ok {
		return nil, errors.New("this device cannot store its volatile state")
	}
	b, err := s.Volatile()
	if err != nil {
		return nil, err
	}
	head := append([]byte(volatilePrefix), 0)
	if m.established {
		head[len(volatilePrefix)] = 1
	}
	return append(head, b...), nil
}

// resume makes the device from both parts of the state, and restores
// tpmEstablished from the volatile one.
func (m *Machine) resume(permanent, volatile []byte) (TPM, error) {
	established := m.established
	if rest, ok := bytes.CutPrefix(volatile, []byte(volatilePrefix)); ok && len(rest) > 0 {
		if rest[0] > 1 {
			return nil, errors.New("volatile state is of a later version")
		}
		established, volatile = rest[0] == 1, rest[1:]
	}
	tpm, err := m.open(m.files, permanent, volatile)
	if err == nil {
		m.established = established
	}
	return tpm, err
}

// Blob returns a part of the state, unencrypted. The volatile part of a running
// TPM is its current one, whether or not StoreVolatile was called: QEMU only asks
// for the blobs when it migrates or saves a virtual machine.
func (m *Machine) Blob(t BlobType) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.loaded[t]; ok {
		return b, nil
	}
	switch t {
	case BlobVolatile:
		if m.tpm != nil {
			return m.volatile()
		}
		return m.files.Load(t)
	case BlobPermanent:
		return m.files.Load(t)
	case BlobSaveState:
		return nil, m.releaseStorage() // QEMU asks for it last
	}
	return nil, errNoBlob
}

// SetBlob gives a part of the state that the next PowerOn uses. The TPM must
// be off. The device checks the bytes at PowerOn; the files are not changed until
// it has accepted them.
func (m *Machine) SetBlob(t BlobType, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm != nil {
		return errRunning
	}
	switch t {
	case BlobPermanent, BlobVolatile:
		if len(b) == 0 {
			delete(m.loaded, t)
			return nil
		}
		m.loaded[t] = b
		return nil
	case BlobSaveState:
		if len(b) == 0 {
			return nil
		}
	}
	return errNoBlob
}
