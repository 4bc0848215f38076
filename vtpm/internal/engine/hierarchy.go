package engine

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Hierarchies returns the hierarchies as they are now.
func (d *Device) Hierarchies() hierarchy.Set {
	return hierarchy.Set{Permanent: &d.Perm.Hierarchies, Clear: &d.Clear.Hierarchies, Null: &d.Reset.Null, Firmware: d.Cfg.Firmware}
}

// TicketHMAC is the digest of a ticket: an HMAC with the hierarchy's proof
// (Part 2, "Tickets"), with the hash that the proof is sized for.
func (d *Device) TicketHMAC(h tcg.TPMHandle, tag tcg.TPMST, parts ...[]byte) []byte {
	all := append([][]byte{{byte(tag >> 8), byte(tag)}}, parts...)
	return tpmcrypto.MAC(ContextHash, d.Hierarchies().Proof(h), all...)
}

// ContextHash is the algorithm of tickets and context integrity: the
// strongest that every profile has.
const ContextHash = tcg.TPMAlgSHA256

// SVN is the security version of the firmware (TPM_PT_FIRMWARE_SVN).
func (d *Device) SVN() uint16 {
	if d.Cfg.Firmware == nil {
		return 0
	}
	return d.Cfg.Firmware.SVN
}

// CheckHierarchy checks a hierarchy that is a parameter: it must exist.
func (d *Device) CheckHierarchy(h tcg.TPMHandle) tcg.TPMRC {
	if !d.Hierarchies().Exists(h) {
		return tcg.TPMRCValue
	}
	return tcg.TPMRCSuccess
}
