package dispatch

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// HeaderSize is the size of the header of a command or response: tag, size and code.
const HeaderSize = 10

// errorResponse returns the response to a command that failed. An error that is no
// response code is a fault of the device, which enters failure mode.
func errorResponse(d *engine.Device, err error) []byte {
	rc, ok := err.(tcg.TPMRC)
	if !ok {
		d.Fail(err.Error(), 0)
		rc = tcg.TPMRCFailure
	}
	tag := tcg.TPMSTNoSessions
	if rc == tcg.TPMRCBadTag {
		// Part 3, 6.1: the one response that a TPM 1.2 driver understands.
		tag = tcg.TPMSTRspCommand
	}
	w := tcg.Writer{B: make([]byte, 0, HeaderSize)}
	w.Uint16(uint16(tag))
	w.Uint32(HeaderSize)
	w.Uint32(uint32(rc))
	return w.B
}

// readHeader checks the command header (Part 3, 5.2). What follows it is left in
// the Call's rest.
func readHeader(d *engine.Device, locality uint8, command []byte) (*Call, error) {
	r := tcg.NewReader(command, d.Profile)
	tag := tcg.TPMST(r.Uint16())
	size := r.Uint32()
	code := tcg.TPMCC(r.Uint32())
	if len(command) >= 2 && tag != tcg.TPMSTNoSessions && tag != tcg.TPMSTSessions {
		return nil, tcg.TPMRCBadTag
	}
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if int64(size) != int64(len(command)) || len(command) > int(d.BufferSize.Load()) {
		return nil, tcg.TPMRCCommandSize
	}
	spec := tcg.CommandByCode(code)
	if spec == nil || !d.Implements(code) {
		return nil, tcg.TPMRCCommandCode
	}
	return &Call{
		Spec: spec, Locality: locality, Profile: d.Offered(), rest: r, hasSessions: tag == tcg.TPMSTSessions,
		Out: tcg.Writer{B: make([]byte, 0, 512)},
	}, nil
}

// response builds the response of a command that succeeded.
func response(d *engine.Device, c *Call) ([]byte, error) {
	w := tcg.Writer{B: make([]byte, 0, HeaderSize+8+len(c.Out.B)+128)}
	tag := tcg.TPMSTNoSessions
	if c.hasSessions {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMRCSuccess))
	if c.Spec.ResponseHandle != nil {
		w.Uint32(uint32(c.OutHandle))
	}
	if c.hasSessions {
		w.Uint32(uint32(len(c.Out.B)))
	}
	w.Bytes(c.Out.B)
	writeSessions(d, c, &w)
	if len(w.B) > int(max(d.BufferSize.Load(), engine.MaxResponseSize)) {
		return nil, tcg.TPMRCSize
	}
	binary.BigEndian.PutUint32(w.B[2:], uint32(len(w.B)))
	return w.B, nil
}
