package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Machine is the platform round one TPM: its power, reset line, locality
// and state files. Commands are run one after the other.
type Machine struct {
	open  Open
	files *StateDir
	log   Logger
	procs *processors // nil leaves the Go runtime as it is

	rejectLocality4 bool
	releaseLock     bool // after the last blob: --migration release-lock-outgoing
	noShutdown      bool // power goes without TPM2_Shutdown (--flags disable-auto-shutdown)

	running  atomic.Pointer[TPM] // for Cancel, which must not wait for mu
	locality atomic.Uint32       // of the swtpm data channel

	mu          sync.Mutex
	tpm         TPM // nil while powered off
	established bool
	orderly     bool                // the last command was TPM2_Shutdown
	stored      bool                // the volatile state's file is the state of this moment
	bufferSize  atomic.Uint32       // changed while the TPM is off
	loaded      map[BlobType][]byte // set by SetBlob, used at the next power on
	unlocked    []byte              // permanent state when the lock was released
	complained  string              // reason of the last complaint, until a command succeeds
}

// NewMachine returns a machine that is powered off. The files must be locked.
func NewMachine(open Open, files *StateDir, log Logger) *Machine {
	if log == nil {
		log = func(string, ...any) {}
	}
	m := &Machine{open: open, files: files, log: log, loaded: map[BlobType][]byte{}}
	m.bufferSize.Store(maxCommand)
	return m
}

var (
	errOff      = errors.New("TPM is powered off")
	errRunning  = errors.New("TPM is running")
	errLocality = errors.New("locality is not allowed")
	errNoHash   = errors.New("this device has no signals of a measured launch")
	errNoBlob   = errors.New("no such state blob")
)

// Running reports whether the TPM has power.
func (m *Machine) Running() bool { return m.running.Load() != nil }

// Reset is _TPM_Init on a TPM that keeps its power.
func (m *Machine) Reset() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm == nil {
		return errOff
	}
	if err := m.lockStorage(0); err != nil {
		return err
	}
	if err := m.moveOn(); err != nil {
		return err
	}
	m.tpm.Init()
	m.orderly = true
	return nil
}

// moveOn erases the stored volatile state before anything changes it: a TPM that
// resumed from it again would have its PCRs, its sessions and the tries of its
// orderly PIN indices back.
func (m *Machine) moveOn() error {
	if !m.stored {
		return nil
	}
	if err := m.files.RemoveVolatile(); err != nil {
		return fmt.Errorf("the stored volatile state cannot be erased: %w", err)
	}
	m.stored = false
	return nil
}

// Execute runs one command. A TPM without power answers TPM_RC_FAILURE.
func (m *Machine) Execute(locality uint8, cmd []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm == nil {
		m.complain("off", "a command came while the TPM is powered off: CMD_INIT must be sent first")
		return errorResponse(rcFailure)
	}
	if err := m.lockStorage(0); err != nil {
		m.complain(err.Error(), "%v", err)
		return errorResponse(rcFailure)
	}
	if err := m.moveOn(); err != nil {
		m.complain(err.Error(), "%v", err)
		return errorResponse(rcFailure)
	}
	m.procs.begin(cmd)
	rsp := m.tpm.Execute(locality, cmd)
	m.procs.end()
	m.orderly = false
	if len(cmd) < headerSize || len(rsp) < headerSize {
		return rsp
	}
	switch binary.BigEndian.Uint32(rsp[6:]) {
	case 0:
		m.orderly = binary.BigEndian.Uint32(cmd[6:]) == ccShutdown
		m.complained = ""
	case rcInitialize:
		m.complain("order", "command 0x%X is out of order: TPM2_Startup must be sent first, and once", binary.BigEndian.Uint32(cmd[6:]))
	}
	return rsp
}

// complain logs why a command is refused, unless the last refusal had the same
// reason: a guest must not be able to fill the log.
func (m *Machine) complain(reason, format string, args ...any) {
	if m.complained != reason {
		m.log(format, args...)
	}
	m.complained = reason
}

// Cancel asks the command in progress to end early.
func (m *Machine) Cancel() error {
	tpm := m.running.Load()
	if tpm == nil {
		return errOff
	}
	(*tpm).Cancel()
	return nil
}

// checkLocality returns an error for a locality that there is not, or that
// --locality reject-locality-4 refuses.
func (m *Machine) checkLocality(l uint8) error {
	if l > 4 || l == 4 && m.rejectLocality4 {
		return errLocality
	}
	return nil
}

// SetLocality sets the locality of later commands on the swtpm data channel.
func (m *Machine) SetLocality(l uint8) error {
	if err := m.checkLocality(l); err != nil {
		return err
	}
	m.locality.Store(uint32(l))
	return nil
}

// Locality is what SetLocality set.
func (m *Machine) Locality() uint8 { return uint8(m.locality.Load()) }

// on runs f with the powered TPM.
func (m *Machine) on(f func(TPM)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm == nil {
		return errOff
	}
	f(m.tpm)
	return nil
}

// SetBufferSize changes the size of the command buffer of a TPM that is off,
// within its limits; 0 asks only. It returns the size in use.
func (m *Machine) SetBufferSize(want uint32) (uint32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if want == 0 {
		return m.bufferSize.Load(), nil
	}
	if m.tpm != nil {
		return m.bufferSize.Load(), errRunning
	}
	m.bufferSize.Store(min(max(want, minCommand), maxBuffer))
	return m.bufferSize.Load(), nil
}

// longest is the size in bytes of the longest command that is read off a connection.
// What is longer than the buffer and not longer than this the TPM refuses.
func (m *Machine) longest() uint32 { return max(m.bufferSize.Load(), maxCommand) }
