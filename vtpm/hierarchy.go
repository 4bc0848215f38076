package vtpm

import (
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// seedSize and proofSize are in bytes: the largest digest implemented (Part
// 1, "Primary Seed Properties", "Hierarchy Proofs").
const (
	seedSize  = 64
	proofSize = 64
)

// hierarchyData returns the seed and proof of a hierarchy.
func (d *Device) hierarchyData(h tcg.TPMHandle) *seedAndProof {
	switch h {
	case tcg.TPMRHOwner:
		return &d.perm.storage
	case tcg.TPMRHEndorsement:
		return &d.perm.endorsement
	case tcg.TPMRHPlatform:
		return &d.perm.platform
	}
	if isLimited(h) {
		return d.limitedData(h)
	}
	return &d.reset.null
}

// proof returns the secret value that only this TPM knows for a hierarchy.
func (d *Device) proof(h tcg.TPMHandle) []byte { return d.hierarchyData(h).proof }

func (d *Device) newSeedAndProof() seedAndProof {
	return seedAndProof{seed: d.random(seedSize), proof: d.random(proofSize)}
}

// manufacture sets the permanent state of a new TPM.
func (d *Device) manufacture() error {
	d.perm = permanent{
		endorsement:       d.newSeedAndProof(),
		storage:           d.newSeedAndProof(),
		platform:          d.newSeedAndProof(),
		derivation:        derivationVersion,
		ownerPolicy:       noPolicy(),
		endorsementPolicy: noPolicy(),
		lockoutPolicy:     noPolicy(),
		da:                lockout.New(),
		clock:             clock.Saved{Safe: true}, // nobody has read it yet
		shutdown:          uint16(tcg.TPMSUClear),  // no Clock was reported yet, so it is safe
		pcrBanks:          d.defaultBanks(),
		auditHash:         tcg.TPMAlgSHA256,
		audited:           []tcg.TPMCC{tcg.TPMCCSetCommandCodeAuditStatus},
		nv:                map[tcg.TPMHandle]*nvIndex{},
		objects:           map[tcg.TPMHandle]*object{},
	}
	return nil
}

// ticketHMAC is the digest of a ticket: an HMAC with the hierarchy's proof
// (Part 2, "Tickets"), with the hash that the proof is sized for.
func (d *Device) ticketHMAC(h tcg.TPMHandle, tag tcg.TPMST, parts ...[]byte) []byte {
	all := append([][]byte{{byte(tag >> 8), byte(tag)}}, parts...)
	return hmacSum(contextHash, d.proof(h), all...)
}

// contextHash is the algorithm of tickets and context integrity: the
// strongest that every profile has.
const contextHash = tcg.TPMAlgSHA256
