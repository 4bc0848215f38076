package vtpm

import (
	"fmt"

	"stubtpm/vtpm/tcg"
)

const headerSize = 10

// A handler runs one command whose header, handles, sessions and
// authorizations have been checked. It reads its parameters, checks them,
// changes state, and writes its response parameters, in this order.
type handler func(d *Device, c *call) error

// A call is one command in the course of being run.
type call struct {
	spec     *tcg.CommandSpec
	locality uint8
	handles  [maxHandles]tcg.TPMHandle
	sent     []byte // parameters as they came, which cpHash is over
	params   []byte // decrypted
	profile  *tcg.Profile

	sessions  [3]authorization
	nSessions int

	outHandle tcg.TPMHandle
	out       tcg.Writer // response parameters

	names    [3][]byte // of the entities that handles refer to
	cpHashes []hashValue

	// flushAfter, if not zero, is an object to be flushed once the response is
	// built, which still needs its authorization value.
	flushAfter tcg.TPMHandle

	// notAudited is set by a command that changes the algorithm of command
	// audit (Part 3, 21.1).
	notAudited bool
}

// A hashValue is a digest with the algorithm that made it.
type hashValue struct {
	alg    tcg.TPMAlgID
	digest []byte
}

// A params reads the parameters of a command in order: next says that
// the next one begins.
type params struct {
	tcg.Reader
	n int
}

func (c *call) reader() *params {
	return &params{Reader: tcg.NewReader(c.params, c.profile)}
}

func (p *params) next() *tcg.Reader {
	if p.Err() == tcg.TPMRCSuccess {
		p.n++
	}
	return &p.Reader
}

// end returns the first fault as one of the parameter that has it; bytes
// after the last parameter are TPM_RC_SIZE.
func (p *params) end() error {
	if rc := p.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(p.n)
	}
	if p.Len() != 0 {
		return tcg.TPMRCSize
	}
	return nil
}

// noParams checks that a command without parameters has none.
func (c *call) noParams() error { return c.reader().end() }

// Execute is the Dispatcher's.
func (t *handlerTable) Execute(d *Device, locality uint8, command []byte) []byte {
	resp, err := t.execute(d, locality, command)
	if err != nil {
		return d.errorResponse(err)
	}
	return resp
}

func (d *Device) errorResponse(err error) []byte {
	rc, ok := err.(tcg.TPMRC)
	if !ok {
		d.fail(err.Error(), 0)
		rc = tcg.TPMRCFailure
	}
	tag := tcg.TPMSTNoSessions
	if rc == tcg.TPMRCBadTag {
		// Part 3, 6.1: the one response that a TPM 1.2 driver understands.
		tag = tcg.TPMSTRspCommand
	}
	w := tcg.Writer{B: make([]byte, 0, headerSize)}
	w.Uint16(uint16(tag))
	w.Uint32(headerSize)
	w.Uint32(uint32(rc))
	return w.B
}

func (t *handlerTable) execute(d *Device, locality uint8, command []byte) (resp []byte, err error) {
	defer func() {
		// A fault of ours must not take the device down with it, and must not
		// go on as if nothing had happened: failure mode is what the
		// specification has for it.
		if p := recover(); p != nil {
			d.cfg.Log("vtpm: internal error: %v", p)
			d.undo()
			resp, err = nil, fmt.Errorf("internal error: %v", p)
		}
	}()

	if resp := probe12(command); resp != nil {
		return resp, nil
	}
	d.mark()
	d.keepHouse()
	c, r, rc := d.header(locality, command)
	if rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if rc := d.checkMode(c); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	hasSessions := tcg.TPMST(uint16(command[0])<<8|uint16(command[1])) == tcg.TPMSTSessions
	if d.vol.failed {
		// Authorizations cannot be checked any more; the two commands that
		// failure mode allows need none.
		if hasSessions {
			return nil, tcg.TPMRCFailure
		}
	}
	if rc := d.readHandles(c, &r); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if d.clear.readOnly && d.readOnlyRefusesIndex(c) {
		return nil, tcg.TPMRCReadOnly
	}
	d.markNamed(c.handles)
	if hasSessions {
		if rc := d.readSessions(c, &r); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
	}
	c.sent = r.Rest()
	c.params = c.sent
	if err := d.authorize(c); err != nil {
		return nil, d.keepAfterError(err)
	}
	if rc := d.decryptParameter(c); rc != tcg.TPMRCSuccess {
		return nil, d.keepAfterError(rc)
	}

	wasShutdown, err := d.leaveShutdown(c)
	if err != nil {
		return nil, err
	}
	c.out.B = make([]byte, 0, 512)
	if err := t[c.spec.Code-firstCommand](d, c); err != nil {
		d.returnToShutdown(wasShutdown)
		return nil, d.keepAfterError(err)
	}
	if c.nSessions == 0 && !c.spec.Has(tcg.AttrNoSessions) {
		d.vol.exclusive = 0
	}
	d.beginAudit(c)
	d.findChanges(c.spec)
	// Sessions, audit digests and what is flushed after the response are
	// changed behind the save: a command that it fails leaves them as they were.
	if err := d.save(); err != nil {
		return nil, unsaved(err)
	}
	resp, err = d.response(c, hasSessions)
	d.auditCommand(c)
	if err != nil {
		return nil, err
	}
	if c.flushAfter != 0 {
		d.flushObject(c.flushAfter)
	}
	return resp, nil
}

// keepAfterError saves what a failed command has to leave behind all the same,
// such as a count of failed authorizations, and returns the error to answer.
func (d *Device) keepAfterError(err error) error {
	if _, ok := err.(tcg.TPMRC); !ok {
		d.undo()
		return err
	}
	if saveErr := d.save(); saveErr != nil {
		return unsaved(saveErr)
	}
	return err
}

// header checks the command header (Part 3, 5.2).
func (d *Device) header(locality uint8, command []byte) (*call, tcg.Reader, tcg.TPMRC) {
	r := tcg.NewReader(command, d.profile)
	tag := tcg.TPMST(r.Uint16())
	size := r.Uint32()
	code := tcg.TPMCC(r.Uint32())
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		if len(command) >= 2 && tag != tcg.TPMSTNoSessions && tag != tcg.TPMSTSessions {
			return nil, r, tcg.TPMRCBadTag
		}
		return nil, r, rc
	}
	if tag != tcg.TPMSTNoSessions && tag != tcg.TPMSTSessions {
		return nil, r, tcg.TPMRCBadTag
	}
	if int64(size) != int64(len(command)) || len(command) > int(d.bufferSize.Load()) {
		return nil, r, tcg.TPMRCCommandSize
	}
	spec := tcg.CommandByCode(code)
	if spec == nil || !d.Implements(code) {
		return nil, r, tcg.TPMRCCommandCode
	}
	return &call{spec: spec, locality: locality, profile: d.profile}, r, tcg.TPMRCSuccess
}

// checkMode refuses commands that the device's mode does not allow (Part 3,
// 5.3).
func (d *Device) checkMode(c *call) tcg.TPMRC {
	code := c.spec.Code
	if d.vol.failed {
		if code != tcg.TPMCCGetTestResult && code != tcg.TPMCCGetCapability {
			return tcg.TPMRCFailure
		}
		return tcg.TPMRCSuccess
	}
	if d.vol.started == (code == tcg.TPMCCStartup) {
		return tcg.TPMRCInitialize
	}
	if d.clear.readOnly && readOnlyRefuses(c.spec) {
		return tcg.TPMRCReadOnly
	}
	return tcg.TPMRCSuccess
}

// readHandles takes the handle area and checks that what it names is there
// (Part 3, 5.4).
func (d *Device) readHandles(c *call, r *tcg.Reader) tcg.TPMRC {
	for i, spec := range c.spec.Handles {
		h := tcg.TPMHandle(r.Uint32())
		if rc := r.Err(); rc != tcg.TPMRCSuccess {
			return rc.H(i + 1)
		}
		if rc := spec.Check(h); rc != tcg.TPMRCSuccess {
			return rc.H(i + 1)
		}
		c.handles[i] = h
	}
	for i := range c.spec.Handles {
		name, rc := d.entityName(c.handles[i])
		if rc != tcg.TPMRCSuccess {
			if rc == tcg.TPMRCReferenceH0 {
				return rc + tcg.TPMRC(i)
			}
			return rc.H(i + 1)
		}
		c.names[i] = name
	}
	return tcg.TPMRCSuccess
}

// response builds the response of a command that succeeded.
func (d *Device) response(c *call, hasSessions bool) ([]byte, error) {
	w := tcg.Writer{B: make([]byte, 0, headerSize+8+len(c.out.B)+128)}
	tag := tcg.TPMSTNoSessions
	if hasSessions {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMRCSuccess))
	if c.spec.ResponseHandle != nil {
		w.Uint32(uint32(c.outHandle))
	}
	if hasSessions {
		w.Uint32(uint32(len(c.out.B)))
		areas := d.responseSessions(c)
		w.Bytes(c.out.B) // encrypted by responseSessions where asked for
		w.Bytes(areas)
	} else {
		w.Bytes(c.out.B)
	}
	if len(w.B) > MaxResponseSize {
		return nil, tcg.TPMRCSize
	}
	n := len(w.B)
	w.B[2], w.B[3], w.B[4], w.B[5] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return w.B, nil
}
