package vtpm

import "stubtpm/vtpm/tcg"

// audit extends the session's and the command audit's digest (Part 1,
// "Audit"). It runs after parameter encryption: rpHash is over what is sent.
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

// readsOnly reports whether a command leaves all that TPM2_Shutdown saves as
// it is.
func readsOnly(code tcg.TPMCC) bool {
	switch code {
	case tcg.TPMCCGetCapability, tcg.TPMCCGetRandom, tcg.TPMCCStirRandom, tcg.TPMCCReadClock, tcg.TPMCCPCRRead,
		tcg.TPMCCGetTestResult, tcg.TPMCCSelfTest, tcg.TPMCCIncrementalSelfTest, tcg.TPMCCReadPublic,
		tcg.TPMCCNVReadPublic, tcg.TPMCCTestParms, tcg.TPMCCHash, tcg.TPMCCECCParameters:
		return true
	}
	return false
}
