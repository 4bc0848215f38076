package vtpm

import (
	"encoding/binary"
	"slices"

	"stubtpm/vtpm/tcg"
)

// Part 3, 18.5 and 18.6 (audit digests) and section 21 - Command Audit.
var auditCommands = commandTable{
	tcg.TPMCCGetSessionAuditDigest:     (*Device).getSessionAuditDigest,
	tcg.TPMCCGetCommandAuditDigest:     (*Device).getCommandAuditDigest,
	tcg.TPMCCSetCommandCodeAuditStatus: (*Device).setCommandCodeAuditStatus,
}

// getSessionAuditDigest is TPM2_GetSessionAuditDigest.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_TYPE                the session was not used for audit
func (d *Device) getSessionAuditDigest(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[2])
	if !s.audited {
		return tcg.TPMRCType.H(3)
	}
	key, scheme, rc := d.checkAttestKey(c.handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := d.newAttest(key, tcg.TPMSTAttestSessionAudit, data)
	a.SessionAudit = tcg.TPMSSessionAuditInfo{
		ExclusiveSession: d.vol.exclusive == s.handle, SessionDigest: s.auditDigest,
	}
	return d.signAttest(c, key, scheme, &a)
}

// getCommandAuditDigest is TPM2_GetCommandAuditDigest. It begins the digest
// anew where it was signed.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func (d *Device) getCommandAuditDigest(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	if err := r.end(); err != nil {
		return err
	}
	key, scheme, rc := d.checkAttestKey(c.handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := d.newAttest(key, tcg.TPMSTAttestCommandAudit, data)
	var codes []byte
	for _, cc := range sorted(d.perm.audited) {
		codes = binary.BigEndian.AppendUint32(codes, uint32(cc))
	}
	a.CommandAudit = tcg.TPMSCommandAuditInfo{
		AuditCounter: d.perm.auditCounter, DigestAlg: d.perm.auditHash,
		AuditDigest: d.reset.auditDigest, CommandDigest: digest(d.perm.auditHash, codes),
	}
	if err := d.signAttest(c, key, scheme, &a); err != nil {
		return err
	}
	if key != nil {
		d.reset.auditDigest = nil
	}
	return nil
}

// setCommandCodeAuditStatus is TPM2_SetCommandCodeAuditStatus.
//
//	TPM_RC_VALUE  algorithm and lists cannot be changed at once
func (d *Device) setCommandCodeAuditStatus(c *call) error {
	r := c.reader()
	alg := r.next().HashAlgPlus()
	var set, clear tcg.TPMLCC
	set.Unmarshal(r.next())
	clear.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	if alg != tcg.TPMAlgNull && alg != d.perm.auditHash {
		if len(set) != 0 || len(clear) != 0 {
			return tcg.TPMRCValue.P(1)
		}
		d.perm.auditHash = alg
		d.reset.auditDigest = nil
		c.notAudited = true
		return nil
	}
	list := slices.Clone(d.perm.audited)
	for _, cc := range set {
		// TPM2_Shutdown cannot be audited: its digest would be lost.
		if d.Implements(cc) && cc != tcg.TPMCCShutdown && !slices.Contains(list, cc) {
			list = append(list, cc)
		}
	}
	for _, cc := range clear {
		// This command itself is always audited.
		if i := slices.Index(list, cc); i >= 0 && cc != tcg.TPMCCSetCommandCodeAuditStatus {
			list = slices.Delete(list, i, i+1)
		}
	}
	d.perm.audited = list
	return nil
}

// beginAudit begins the command audit digest if the command, which succeeded, is
// the first of it (Part 1, "Command Audit").
func (d *Device) beginAudit(c *call) {
	if d.audits(c) && len(d.reset.auditDigest) == 0 {
		d.reset.auditDigest = make([]byte, hashSize(d.perm.auditHash))
		d.perm.auditCounter++
		d.dirty = true
	}
}

func (d *Device) audits(c *call) bool {
	return !c.notAudited && slices.Contains(d.perm.audited, c.spec.Code)
}

// auditCommand extends the command audit digest, if the command is one that is
// audited.
func (d *Device) auditCommand(c *call) {
	if !d.audits(c) {
		return
	}
	alg := d.perm.auditHash
	d.reset.auditDigest = digest(alg, d.reset.auditDigest, c.cpHash(alg), c.rpHash(alg))
}

// audit extends the audit session's digest and sets which session is exclusive
// (Part 1, "Audit"); auditCommand extends the digest of command audit. It runs after parameter encryption: rpHash is over what is sent.
func (d *Device) audit(c *call) {
	a := c.auditSession()
	if a == nil {
		if !c.spec.Has(tcg.AttrNoSessions) {
			d.vol.exclusive = 0
		}
		return
	}
	s := a.s
	if !s.audited || a.attrs&tcg.TPMASessionAuditReset != 0 {
		s.audited = true
		s.bindName, s.bindAuth = nil, nil // the bind value is lost (Part 1, 17.1)
		s.auditDigest = make([]byte, hashSize(s.hash))
		d.vol.exclusive = s.handle
	}
	if d.vol.exclusive != s.handle {
		d.vol.exclusive = 0
	}
	s.auditDigest = digest(s.hash, s.auditDigest, c.cpHash(s.hash), c.rpHash(s.hash))
}
