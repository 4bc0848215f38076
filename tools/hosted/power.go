package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// PowerOn brings the TPM up; one that runs is powered off first. It resumes
// from the volatile state that SetBlob gave, or else from the file that
// StoreVolatile wrote; with deleteVolatile that file is removed afterwards.
//
// A volatile state that SetBlob gave and that does not belong to the permanent
// state is an error. A stored one that does not belong to it, or that is damaged,
// is erased, and the TPM starts as it does after a loss of power. With --strict a
// damaged one is an error, and is left as it is.
func (m *Machine) PowerOn(deleteVolatile bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.powerOn(deleteVolatile)
}

func (m *Machine) powerOn(deleteVolatile bool) error {
	m.powerOff()
	if err := m.lockStorage(incomingRetries); err != nil {
		return err
	}
	permanent, err := m.files.Load(BlobPermanent)
	if err != nil {
		return err
	}
	given, replaced := m.loaded[BlobPermanent]
	if replaced {
		permanent = given
	}
	tpm, resumed, err := m.openTPM(permanent)
	if err != nil {
		return err
	}
	if replaced {
		// Only a state that the device accepts replaces the old one.
		if err := m.files.Save(given); err != nil {
			return err
		}
	}
	switch {
	case permanent == nil:
		m.log("manufactured a new TPM in %s", m.files)
	case resumed:
		m.log("resumed the TPM in %s", m.files)
	default:
		m.log("loaded the TPM in %s", m.files)
	}
	incoming := len(m.loaded) > 0 // then the stored volatile state is not that of this moment
	if resumed && deleteVolatile {
		if err := m.files.RemoveVolatile(); err != nil {
			return err
		}
	}
	clear(m.loaded)
	if s, ok := tpm.(Sizer); ok {
		s.SetBufferSize(m.bufferSize.Load())
	}
	m.tpm = tpm
	m.running.Store(&tpm)
	m.orderly = !resumed // before TPM2_Startup there is nothing to shut down
	m.stored = resumed && !deleteVolatile && !incoming
	return nil
}

// openTPM makes the device, and reports whether it resumed from a volatile
// state.
func (m *Machine) openTPM(permanent []byte) (tpm TPM, resumed bool, err error) {
	if volatile, ok := m.loaded[BlobVolatile]; ok {
		if permanent == nil {
			return nil, false, errors.New("volatile state without a permanent state")
		}
		tpm, err = m.resume(permanent, volatile)
		return tpm, err == nil, err
	}
	volatile, unusable := m.files.Load(BlobVolatile)
	switch {
	case unusable == nil:
	case !isContentError(unusable):
		return nil, false, unusable
	case m.files.opt.Strict:
		return nil, false, fmt.Errorf("%w (refused by --strict)", unusable)
	}
	if unusable == nil && volatile != nil {
		if permanent == nil {
			unusable = errors.New("there is no permanent state")
		} else if tpm, unusable = m.resume(permanent, volatile); unusable == nil {
			return tpm, true, nil
		}
	}
	if tpm, err = m.open(m.files, permanent, nil); err != nil {
		return nil, false, err
	}
	if unusable != nil {
		if err := m.files.RemoveVolatile(); err != nil {
			return nil, false, err
		}
		m.log("volatile state cannot be resumed from (%v); it is erased, and the TPM starts as after a loss of power", unusable)
	}
	return tpm, false, nil
}

// Start is PowerOn at the start of the process, with the TPM2_Startup that the
// options ask for. A TPM that resumed has had its TPM2_Startup.
func (m *Machine) Start(deleteVolatile bool, send Startup) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.powerOn(deleteVolatile); err != nil {
		return err
	}
	if send == StartupNone || !m.orderly {
		return nil
	}
	su := uint16(suClear)
	if send == StartupState {
		su = suState
	}
	if rc := startup(m.tpm, ccStartup, su); rc != 0 {
		return fmt.Errorf("TPM2_Startup(%d) answered 0x%X", su, rc)
	}
	m.orderly = false
	return nil
}

// startup runs a command whose only parameter is a startup type, TPM2_Startup
// or TPM2_Shutdown, and returns the response code.
func startup(t TPM, code uint32, su uint16) uint32 {
	cmd := make([]byte, 0, headerSize+2)
	cmd = binary.BigEndian.AppendUint16(cmd, tagNoSessions)
	cmd = binary.BigEndian.AppendUint32(cmd, headerSize+2)
	cmd = binary.BigEndian.AppendUint32(cmd, code)
	cmd = binary.BigEndian.AppendUint16(cmd, su)
	rsp := t.Execute(0, cmd)
	if len(rsp) < headerSize {
		return rcFailure
	}
	return binary.BigEndian.Uint32(rsp[6:])
}

// PowerOff takes the TPM's power away, after TPM2_Shutdown(STATE) where the
// guest sent none: a host that stops a machine is not an attacker who cuts the
// power, and must not use up the guest's authorization attempts of the dictionary
// attack logic.
//
// A TPM whose volatile state was stored and that ran no command since is not
// shut down: TPM2_Shutdown changes the permanent state, and the stored state
// would no longer belong to it.
func (m *Machine) PowerOff() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.powerOff()
}

func (m *Machine) powerOff() {
	if m.tpm == nil {
		return
	}
	if !m.orderly && !m.stored && !m.noShutdown && m.files.held {
		if rc := startup(m.tpm, ccShutdown, suState); rc != 0 {
			rc = startup(m.tpm, ccShutdown, suClear)
			if rc != 0 {
				m.log("TPM2_Shutdown answered 0x%X", rc)
			}
		}
	}
	m.dropPower()
}

func (m *Machine) dropPower() {
	m.tpm, m.stored = nil, false
	m.running.Store(nil)
}
