package dispatch

import (
	"fmt"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// Execute is the Dispatcher's.
func (t *Table) Execute(d *engine.Device, locality uint8, command []byte) []byte {
	resp, err := t.execute(d, locality, command)
	if err != nil {
		return errorResponse(d, err)
	}
	return resp
}

func (t *Table) execute(d *engine.Device, locality uint8, command []byte) (resp []byte, err error) {
	defer func() {
		// A fault of ours must not take the device down with it, and must not
		// go on as if nothing had happened: failure mode is what the
		// specification has for it.
		if p := recover(); p != nil {
			d.Cfg.Log("vtpm: internal error: %v", p)
			d.Undo()
			resp, err = nil, fmt.Errorf("internal error: %v", p)
		}
	}()

	if resp := probe12(command); resp != nil {
		return resp, nil
	}
	d.Mark()
	d.Housekeeping()
	c, r, rc := header(d, locality, command)
	if rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if rc := checkMode(d, c); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	hasSessions := tcg.TPMST(uint16(command[0])<<8|uint16(command[1])) == tcg.TPMSTSessions
	if d.Vol.Failed {
		// Authorizations cannot be checked any more; the two commands that
		// failure mode allows need none.
		if hasSessions {
			return nil, tcg.TPMRCFailure
		}
	}
	if rc := readHandles(d, c, &r); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if d.Clear.ReadOnly && readOnlyRefusesIndex(d, c) {
		return nil, tcg.TPMRCReadOnly
	}
	d.MarkNamed(c.Handles)
	if hasSessions {
		if rc := readSessions(d, c, &r); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
	}
	c.Sent = r.Rest()
	c.Params = c.Sent
	if err := authorize(d, c); err != nil {
		return nil, keepAfterError(d, err)
	}
	if rc := decryptParameter(d, c); rc != tcg.TPMRCSuccess {
		return nil, keepAfterError(d, rc)
	}

	wasShutdown, err := leaveShutdown(d, c)
	if err != nil {
		return nil, err
	}
	c.Out.B = make([]byte, 0, 512)
	if err := t[c.Spec.Code-engine.FirstCommand](d, c); err != nil {
		returnToShutdown(d, wasShutdown)
		return nil, keepAfterError(d, err)
	}
	if c.nSessions == 0 && !c.Spec.Has(tcg.AttrNoSessions) {
		d.Vol.Exclusive = 0
	}
	beginAudit(d, c)
	d.FindChanges(c.Spec)
	// Sessions, audit digests and what is flushed after the response are
	// changed behind the save: a command that it fails leaves them as they were.
	if err := d.Save(); err != nil {
		return nil, engine.Unsaved(err)
	}
	resp, err = response(d, c, hasSessions)
	auditCommand(d, c)
	if err != nil {
		return nil, err
	}
	if c.FlushAfter != 0 {
		d.FlushObject(c.FlushAfter)
	}
	return resp, nil
}

// keepAfterError saves what a failed command has to leave behind all the same,
// such as a count of failed authorizations, and returns the error to answer.
func keepAfterError(d *engine.Device, err error) error {
	if _, ok := err.(tcg.TPMRC); !ok {
		d.Undo()
		return err
	}
	if saveErr := d.Save(); saveErr != nil {
		return engine.Unsaved(saveErr)
	}
	return err
}

// checkMode refuses commands that the device's mode does not allow (Part 3,
// 5.3).
func checkMode(d *engine.Device, c *Call) tcg.TPMRC {
	code := c.Spec.Code
	if d.Vol.Failed {
		if code != tcg.TPMCCGetTestResult && code != tcg.TPMCCGetCapability {
			return tcg.TPMRCFailure
		}
		return tcg.TPMRCSuccess
	}
	if d.Vol.Started == (code == tcg.TPMCCStartup) {
		return tcg.TPMRCInitialize
	}
	if d.Clear.ReadOnly && ReadOnlyRefuses(c.Spec) {
		return tcg.TPMRCReadOnly
	}
	return tcg.TPMRCSuccess
}

// readHandles takes the handle area and checks that what it names is there
// (Part 3, 5.4).
func readHandles(d *engine.Device, c *Call, r *tcg.Reader) tcg.TPMRC {
	for i, spec := range c.Spec.Handles {
		h := tcg.TPMHandle(r.Uint32())
		if rc := r.Err(); rc != tcg.TPMRCSuccess {
			return rc.H(i + 1)
		}
		if rc := spec.Check(h); rc != tcg.TPMRCSuccess {
			return rc.H(i + 1)
		}
		c.Handles[i] = h
	}
	for i := range c.Spec.Handles {
		name, rc := d.EntityName(c.Handles[i])
		if rc != tcg.TPMRCSuccess {
			if rc == tcg.TPMRCReferenceH0 {
				return rc + tcg.TPMRC(i)
			}
			return rc.H(i + 1)
		}
		c.Names[i] = name
	}
	return tcg.TPMRCSuccess
}
