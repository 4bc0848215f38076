package command

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// getSessionAuditDigest is TPM2_GetSessionAuditDigest, which returns the digest
// of an audit session, signed.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_TYPE                the session was not used for audit
func getSessionAuditDigest(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[2])
	if !s.Audited {
		return tcg.TPMRCType.H(3)
	}
	key, scheme, rc := checkAttestKey(d, c.Handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := newAttest(d, key, tcg.TPMSTAttestSessionAudit, data)
	a.SessionAudit = tcg.TPMSSessionAuditInfo{
		ExclusiveSession: d.Vol.Exclusive == s.Handle, SessionDigest: s.AuditDigest,
	}
	return signAttest(d, c, key, scheme, &a)
}

// getCommandAuditDigest is TPM2_GetCommandAuditDigest, which returns the digest
// of command audit, signed. It begins the digest again where it was signed.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func getCommandAuditDigest(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	key, scheme, rc := checkAttestKey(d, c.Handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := newAttest(d, key, tcg.TPMSTAttestCommandAudit, data)
	var codes []byte
	for _, cc := range sorted(d.Perm.Audited) {
		codes = binary.BigEndian.AppendUint32(codes, uint32(cc))
	}
	a.CommandAudit = tcg.TPMSCommandAuditInfo{
		AuditCounter: d.Perm.AuditCounter, DigestAlg: d.Perm.AuditHash,
		AuditDigest: d.Reset.AuditDigest, CommandDigest: tpmcrypto.Digest(d.Perm.AuditHash, codes),
	}
	if err := signAttest(d, c, key, scheme, &a); err != nil {
		return err
	}
	if key != nil {
		d.Reset.AuditDigest = nil
	}
	return nil
}
