package engine

import (
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Hierarchies returns the hierarchies as they are now.
func (d *Device) Hierarchies() hierarchy.Set {
	return hierarchy.Set{Permanent: &d.Perm.Hierarchies, Clear: &d.Clear.Hierarchies, Null: &d.Reset.Null, Firmware: d.Cfg.Firmware}
}

// manufacture sets the permanent state of a new TPM.
func (d *Device) manufacture() error {
	h, err := hierarchy.Manufacture(d.Cfg.Rand)
	if err != nil {
		return err
	}
	d.Perm = permanent{
		Hierarchies: h,
		DA:          lockout.New(),
		Clock:       clock.Saved{Safe: true}, // nobody has read it yet
		Shutdown:    uint16(tcg.TPMSUClear),  // no Clock was reported yet, so it is safe
		PCRBanks:    d.defaultBanks(),
		AuditHash:   tcg.TPMAlgSHA256,
		Audited:     []tcg.TPMCC{tcg.TPMCCSetCommandCodeAuditStatus},
		NV:          nv.NewSpace(),
		Objects:     map[tcg.TPMHandle]*object.Object{},
	}
	return nil
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
