package hosted

import (
	"bytes"
	"errors"
)

// A BlobType names one part of a TPM's state, by the number it has on the
// swtpm control channel (swtpm_ioctls(3), CMD_GET_STATEBLOB).
type BlobType uint32

const (
	BlobPermanent BlobType = 1
	BlobVolatile  BlobType = 2
	BlobSaveState BlobType = 3 // of TPM 1.2 only: always empty here
)

// maxBlob bounds a state blob, in bytes. It is far above any state of the
// device and keeps a client from filling the memory.
const maxBlob = 4 << 20

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

// The volatile state, as a file or a blob, is 4 bytes that tell of the machine
// round the TPM and the device's own: "sTM" and 1 if tpmEstablished is set, else
// 0. Older ones are the device's alone.
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

// resume makes the device from both parts of the state, and sets what the
// volatile one tells of the machine.
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
// TPM is that of this moment, whether StoreVolatile was called or not: QEMU
// asks for the blobs alone when it migrates or saves a virtual machine.
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
// be off. The device checks the bytes at PowerOn; until it accepted them the
// files are left as they are.
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
