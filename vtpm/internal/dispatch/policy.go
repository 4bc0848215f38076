package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// checkPolicy checks session i, a policy session, against the entity that it
// authorizes, in the order of Part 3, 5.6, items 6 and 8.
func checkPolicy(d *engine.Device, c *Call, i int) tcg.TPMRC {
	a := &c.Sessions[i]
	p := a.s.Policy
	if role := c.Spec.Handles[i].Role; p.CommandCode == 0 && role != tcg.RoleUser && a.handle.Type() != tcg.TPMHTPermanent {
		return tcg.TPMRCPolicyFail // ADMIN and DUP need a policy that names the command
	}
	if p.Timeout != 0 && (p.Epoch != d.Vol.Clock.Epoch || p.Timeout < d.TimeNow()) {
		return tcg.TPMRCExpired
	}
	for _, h := range []struct {
		want []byte
		have func(tcg.TPMAlgID) []byte
	}{{p.CPHash, c.cpHash}, {p.NameHash, c.nameHash}, {p.ParametersHash, c.parametersHash}} {
		if h.want != nil && !tpmcrypto.Equal(h.want, h.have(a.s.Hash)) {
			return tcg.TPMRCPolicyFail
		}
	}
	if p.CommandCode != 0 && p.CommandCode != c.Spec.Code {
		return tcg.TPMRCPolicyCC
	}
	if entity := d.EntityPolicy(a.handle); entity.Hash != a.s.Hash || !tpmcrypto.Equal(entity.Digest, p.Digest) {
		return tcg.TPMRCPolicyFail
	}
	if p.PCRChecked && p.PCRCounter != d.Reset.PCRUpdateCounter {
		return tcg.TPMRCPCRChanged
	}
	if p.Locality != 0 && !LocalityIn(p.Locality, c.Locality) {
		return tcg.TPMRCLocality
	}
	if p.TemplateHash != nil && !tpmcrypto.Equal(p.TemplateHash, c.templateHash(a.s.Hash)) {
		return tcg.TPMRCPolicyFail
	}
	// Without a place in that order.
	if p.Transport != nil {
		return tcg.TPMRCChannel // commands do not come by SPDM here
	}
	if p.PresenceNeeded && !d.Vol.PhysicalPresence {
		return tcg.TPMRCPP
	}
	if x := d.Index(a.handle); p.NVWrittenChecked && (x == nil || x.Written() != p.NVWritten) {
		return tcg.TPMRCPolicyFail
	}
	if c.Spec.Code == tcg.TPMCCPolicySecret && !p.AuthNeeded && !p.PasswordNeeded {
		return tcg.TPMRCMode // the secret has to be proven (Part 3, 23.4.1)
	}
	return tcg.TPMRCSuccess
}

// LocalityIn reports whether locality l is in the set attr: a bit each for 0
// to 4, or the number itself from 32 on (Part 2, TPMA_LOCALITY).
func LocalityIn(attr, l uint8) bool {
	if attr < 32 {
		return l < 5 && attr&(1<<l) != 0
	}
	return attr == l
}
