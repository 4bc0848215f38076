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

	// The steps of Part 3, section 5.
	c, err := readHeader(d, locality, command) // 5.2 Command Header Validation
	if err != nil {
		return nil, err
	}
	if err := checkMode(d, c); err != nil { // 5.3 Mode Checks
		return nil, err
	}
	if err := readHandles(d, c); err != nil { // 5.4 Handle Area Validation
		return nil, err
	}
	d.MarkNamed(c.Handles)
	if err := readSessions(d, c); err != nil { // 5.5 Session Area Validation
		return nil, err
	}
	if err := authorize(d, c); err != nil { // 5.6 Authorization Checks
		return nil, keepAfterError(d, err)
	}
	if err := decryptParameter(d, c); err != nil { // 5.7 Parameter Decryption
		return nil, keepAfterError(d, err)
	}
	wasShutdown, err := leaveShutdown(d, c)
	if err != nil {
		return nil, err
	}
	if err := t[c.Spec.Code-engine.FirstCommand](d, c); err != nil { // 5.8 Parameter Unmarshaling, and the command's own actions
		// Handlers change the state after their last check.
		if d.HalfDone() {
			err = fmt.Errorf("internal error: %s changed the state and was refused: %v", c.Spec.Name, err)
		}
		returnToShutdown(d, wasShutdown)
		return nil, keepAfterError(d, err)
	}
	return finish(d, c) // 5.9 Command Post Processing
}

// finish saves what a command changed and builds its response (Part 3, 5.9).
func finish(d *engine.Device, c *Call) ([]byte, error) {
	startCommandAudit(d, c)
	d.FindChanges(c.Spec)
	// Sessions, audit digests and what is flushed after the response are
	// changed behind the save: a command that it fails leaves them as they were.
	if err := d.Save(); err != nil {
		return nil, engine.Unsaved(err)
	}
	renewNonces(d, c)
	encryptParameter(d, c)
	extendSessionAudit(d, c)
	extendCommandAudit(d, c)
	resp, err := response(d, c)
	endSessions(d, c)
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
func checkMode(d *engine.Device, c *Call) error {
	code := c.Spec.Code
	if d.Vol.Failed {
		// Authorizations cannot be checked any more; the two commands that
		// failure mode allows need none.
		if c.hasSessions || code != tcg.TPMCCGetTestResult && code != tcg.TPMCCGetCapability {
			return tcg.TPMRCFailure
		}
		return nil
	}
	if d.Vol.Started == (code == tcg.TPMCCStartup) {
		return tcg.TPMRCInitialize
	}
	if d.Clear.ReadOnly && ReadOnlyRefuses(c.Spec) {
		return tcg.TPMRCReadOnly
	}
	return nil
}

// readHandles takes the handle area and checks that what it names is there
// (Part 3, 5.4), and that read-only mode allows the command for it.
func readHandles(d *engine.Device, c *Call) error {
	for i, spec := range c.Spec.Handles {
		h := tcg.TPMHandle(c.rest.Uint32())
		if rc := c.rest.Err(); rc != tcg.TPMRCSuccess {
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
	if d.Clear.ReadOnly && readOnlyRefusesIndex(d, c) {
		return tcg.TPMRCReadOnly
	}
	return nil
}
