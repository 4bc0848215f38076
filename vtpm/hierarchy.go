package vtpm

import (
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// hierarchies returns the hierarchies as they are now.
func (d *Device) hierarchies() hierarchy.Set {
	return hierarchy.Set{Permanent: &d.perm.hierarchies, Clear: &d.clear.hierarchies, Null: &d.reset.null, Firmware: d.cfg.Firmware}
}

// manufacture sets the permanent state of a new TPM.
func (d *Device) manufacture() error {
	h, err := hierarchy.Manufacture(d.cfg.Rand)
	if err != nil {
		return err
	}
	d.perm = permanent{
		hierarchies: h,
		da:          lockout.New(),
		clock:       clock.Saved{Safe: true}, // nobody has read it yet
		shutdown:    uint16(tcg.TPMSUClear),  // no Clock was reported yet, so it is safe
		pcrBanks:    d.defaultBanks(),
		auditHash:   tcg.TPMAlgSHA256,
		audited:     []tcg.TPMCC{tcg.TPMCCSetCommandCodeAuditStatus},
		nv:          newNVSpace(),
		objects:     map[tcg.TPMHandle]*object{},
	}
	return nil
}

// ticketHMAC is the digest of a ticket: an HMAC with the hierarchy's proof
// (Part 2, "Tickets"), with the hash that the proof is sized for.
func (d *Device) ticketHMAC(h tcg.TPMHandle, tag tcg.TPMST, parts ...[]byte) []byte {
	all := append([][]byte{{byte(tag >> 8), byte(tag)}}, parts...)
	return hmacSum(contextHash, d.hierarchies().Proof(h), all...)
}

// contextHash is the algorithm of tickets and context integrity: the
// strongest that every profile has.
const contextHash = tcg.TPMAlgSHA256
