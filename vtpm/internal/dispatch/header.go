package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// HeaderSize is the size of the header of a command or response: tag, size and code.
const HeaderSize = 10

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

// header checks the command header (Part 3, 5.2).
func header(d *engine.Device, locality uint8, command []byte) (*Call, tcg.Reader, tcg.TPMRC) {
	r := tcg.NewReader(command, d.Profile)
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
	if int64(size) != int64(len(command)) || len(command) > int(d.BufferSize.Load()) {
		return nil, r, tcg.TPMRCCommandSize
	}
	spec := tcg.CommandByCode(code)
	if spec == nil || !d.Implements(code) {
		return nil, r, tcg.TPMRCCommandCode
	}
	return &Call{Spec: spec, Locality: locality, Profile: d.Profile}, r, tcg.TPMRCSuccess
}

// response builds the response of a command that succeeded.
func response(d *engine.Device, c *Call, hasSessions bool) ([]byte, error) {
	w := tcg.Writer{B: make([]byte, 0, HeaderSize+8+len(c.Out.B)+128)}
	tag := tcg.TPMSTNoSessions
	if hasSessions {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMRCSuccess))
	if c.Spec.ResponseHandle != nil {
		w.Uint32(uint32(c.OutHandle))
	}
	if hasSessions {
		w.Uint32(uint32(len(c.Out.B)))
		areas := responseSessions(d, c)
		w.Bytes(c.Out.B) // encrypted by responseSessions where asked for
		w.Bytes(areas)
	} else {
		w.Bytes(c.Out.B)
	}
	if len(w.B) > engine.MaxResponseSize {
		return nil, tcg.TPMRCSize
	}
	n := len(w.B)
	w.B[2], w.B[3], w.B[4], w.B[5] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return w.B, nil
}
