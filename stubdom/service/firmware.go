package service

import (
	"errors"
	"fmt"
	"sync/atomic"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/tpmif"
)

// OpenCRB connects a guest by a control area in its memory. With firmware, the guest does
// not run yet, and the host will measure what it runs, as a platform's firmware does: with
// locality 4, and from _TPM_Init on. That needs the host's word to the manager that the
// domain was created and measured, and is over once the host says that the guest runs.
func (h *guestHandler) OpenCRB(p tpmif.Peer, firmware bool) (crb.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := h.open
	if firmware {
		open = h.openFirmware
	}
	if err := open(p); errors.Is(err, errConnected) {
		// The domain before a reboot may not be gone yet.
		return nil, fmt.Errorf("%w: %w", tpmif.ErrLater, err)
	} else if err != nil {
		return nil, err
	}
	h.device.SetBufferSize(crb.BufferSize)
	c := &crbConn{guestConn: guestConn{h}, kept: h.kept}
	if c.firmware.Store(firmware); firmware {
		h.token.Store(nil)
	}
	return c, nil
}

// openFirmware connects the firmware of a domain that was just created, again if the
// host's process was restarted.
func (h *guestHandler) openFirmware(p tpmif.Peer) error {
	if err := h.check(p); err != nil {
		return err
	}
	last := h.last.Load()
	if again := last != nil && *last == p.Domain; again && !h.firmware {
		return errFirmware
	} else if !again {
		start, err := h.prepare(p.Domain)
		if err != nil {
			return refusal(err)
		}
		h.last.Store(&p.Domain)
		h.clean = false
		if !start.Measured {
			return errFirmware
		}
		h.firmware = true
	}
	h.connect(p.Domain)
	return nil
}

// A crbConn is the connection of a guest by a control area.
type crbConn struct {
	guestConn
	firmware atomic.Bool // the guest does not run yet
	kept     bool        // the guest's memory belongs to what was in the TPM
}

// Localities of a control area: a guest has one, its firmware all.
const (
	maxGuestLocality    = 0
	maxFirmwareLocality = 4
)

func (c *crbConn) Execute(locality uint8, command []byte) []byte {
	limit := uint8(maxGuestLocality)
	if c.firmware.Load() {
		limit = maxFirmwareLocality
	}
	if locality > limit {
		return rcLocality
	}
	response := c.h.execute(locality, command)
	if limit == maxFirmwareLocality {
		c.h.token.Store(nil) // no image is of a guest that is being measured
	}
	return response
}

// Token implements crb.Conn.
func (c *crbConn) Token() [crb.TokenSize]byte {
	if t := c.h.token.Load(); t != nil {
		return *t
	}
	return token{}
}

// Kept implements crb.Conn.
func (c *crbConn) Kept() bool { return c.kept }

// Signal implements crb.Conn.
func (c *crbConn) Signal(s crb.Signal, data []byte) {
	c.h.gate.run(func() { c.signal(s, data) })
}

func (c *crbConn) signal(s crb.Signal, data []byte) {
	if !c.firmware.Load() {
		return
	}
	d := c.h.device
	switch s {
	case crb.SignalInit:
		shutdownClear(d) // the machine was not running: this is no loss of power
		d.Init()
	case crb.SignalHashStart:
		d.HashStart()
	case crb.SignalHashData:
		d.HashData(data)
	case crb.SignalHashEnd:
		d.HashEnd()
	case crb.SignalGuestRuns:
		c.firmware.Store(false)
		c.h.newToken()
		c.h.mu.Lock()
		c.h.firmware = false
		c.h.mu.Unlock()
	}
}
