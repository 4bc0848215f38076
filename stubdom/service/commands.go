package service

import (
	"encoding/binary"
	"fmt"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// The TPM commands that a service sends to its own device. A PV or PVH guest has no
// firmware that would start the TPM.

// startupClear is TPM2_Startup(CLEAR) (TPM 2.0 Part 3, 9.3).
func startupClear(d *vtpm.Device) error {
	return send(d, tcg.TPMSTNoSessions, tcg.TPMCCStartup, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMSUClear)) })
}

// shutdownClear is TPM2_Shutdown(CLEAR) (Part 3, 9.4).
func shutdownClear(d *vtpm.Device) error {
	return send(d, tcg.TPMSTNoSessions, tcg.TPMCCShutdown, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMSUClear)) })
}

// pcrEvent is TPM2_PCR_Event with an empty password (Part 3, 22.3).
func pcrEvent(d *vtpm.Device, pcr tcg.TPMHandle, event []byte) error {
	return send(d, tcg.TPMSTSessions, tcg.TPMCCPCREvent, func(w *tcg.Writer) {
		w.Handle(pcr)
		var auth tcg.Writer
		(&tcg.TPMSAuthCommand{Handle: tcg.TPMRSPW}).Marshal(&auth)
		w.Uint32(uint32(len(auth.B)))
		w.Bytes(auth.B)
		w.Sized(event)
	})
}

// send runs a command at locality 0 and returns an error for any response code but
// TPM_RC_SUCCESS.
func send(d *vtpm.Device, tag tcg.TPMST, cc tcg.TPMCC, body func(w *tcg.Writer)) error {
	var w tcg.Writer
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(cc))
	body(&w)
	binary.BigEndian.PutUint32(w.B[2:], uint32(len(w.B)))
	rsp := d.Execute(0, w.B)
	if rc := tcg.TPMRC(binary.BigEndian.Uint32(rsp[6:])); rc != tcg.TPMRCSuccess {
		return fmt.Errorf("%v: %w", cc, rc)
	}
	return nil
}
