package dispatch

import (
	"slices"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// commandAudited reports whether the command is one of those that command audit is
// set for (Part 1, "Command Audit").
func commandAudited(d *engine.Device, c *Call) bool {
	return !c.NotAudited && slices.Contains(d.Perm.Audited, c.Spec.Code)
}

// startCommandAudit starts the digest of command audit if the command, which
// succeeded, is the first one of it.
func startCommandAudit(d *engine.Device, c *Call) {
	if commandAudited(d, c) && len(d.Reset.AuditDigest) == 0 {
		d.Reset.AuditDigest = make([]byte, tpmcrypto.MustSize(d.Perm.AuditHash))
		d.Perm.AuditCounter++
		d.Dirty = true
	}
}

// extendCommandAudit extends the digest of command audit. Like
// extendSessionAudit it runs after parameter encryption: rpHash is over what is
// sent.
func extendCommandAudit(d *engine.Device, c *Call) {
	if commandAudited(d, c) {
		alg := d.Perm.AuditHash
		d.Reset.AuditDigest = tpmcrypto.Digest(alg, d.Reset.AuditDigest, c.cpHash(alg), c.rpHash(alg))
	}
}

// extendSessionAudit extends the digest of the command's audit session and sets
// which session is exclusive (Part 1, "Audit").
func extendSessionAudit(d *engine.Device, c *Call) {
	a := c.auditSession()
	if a == nil {
		if !c.Spec.Has(tcg.AttrNoSessions) {
			d.Vol.Exclusive = 0
		}
		return
	}
	s := a.s
	if !s.Audited || a.attrs&tcg.TPMASessionAuditReset != 0 {
		s.Audited = true
		s.BindName, s.BindAuth = nil, nil // the bind value is lost (Part 1, 17.1)
		s.AuditDigest = make([]byte, tpmcrypto.MustSize(s.Hash))
		d.Vol.Exclusive = s.Handle
	}
	if d.Vol.Exclusive != s.Handle {
		d.Vol.Exclusive = 0
	}
	s.AuditDigest = tpmcrypto.Digest(s.Hash, s.AuditDigest, c.cpHash(s.Hash), c.rpHash(s.Hash))
}
