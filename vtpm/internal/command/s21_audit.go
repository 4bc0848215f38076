package command

import (
	"slices"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// setCommandCodeAuditStatus is TPM2_SetCommandCodeAuditStatus, which selects
// the commands that are audited, and the digest's algorithm.
//
//	TPM_RC_VALUE  algorithm and lists cannot be changed at once
func setCommandCodeAuditStatus(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	alg := r.Next().HashAlgPlus()
	var set, clear tcg.TPMLCC
	set.Unmarshal(r.Next())
	clear.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	if alg != tcg.TPMAlgNull && alg != d.Perm.AuditHash {
		if len(set) != 0 || len(clear) != 0 {
			return tcg.TPMRCValue.P(1)
		}
		d.Perm.AuditHash = alg
		d.Reset.AuditDigest = nil
		c.NotAudited = true
		return nil
	}
	list := slices.Clone(d.Perm.Audited)
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
	d.Perm.Audited = list
	return nil
}
