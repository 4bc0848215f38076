package command

import (
	"bytes"
	"slices"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// pcrAllocateCommand is TPM2_PCR_Allocate, which selects the banks of PCRs from
// the next start on. Banks that the list does not name stay as they are; the
// change takes effect at the next _TPM_Init, before which no
// TPM2_Shutdown(STATE) is possible. There is room for all PCRs of all banks, so
// that no request fails with TPM_RC_NO_RESULT.
//
//	TPM_RC_PCR  PCR 0 or a PCR of a dynamic launch would be in no bank
func pcrAllocateCommand(d *engine.Device, c *dispatch.Call) error {
	var sel tcg.TPMLPCRSelection
	r := c.Reader()
	sel.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	banks := slices.Clone(d.Perm.PCRBanks)
	for _, s := range sel.All() {
		if i := slices.IndexFunc(banks, func(b tcg.TPMSPCRSelection) bool { return b.Hash == s.Hash }); i >= 0 {
			banks[i] = s
		} else if slices.Contains(d.Profile.PCRBanks(), s.Hash) {
			banks = append(banks, s)
		}
	}
	for _, n := range []int{0, 17} {
		if !slices.ContainsFunc(banks, func(b tcg.TPMSPCRSelection) bool { return b.Has(n) }) {
			return tcg.TPMRCPCR
		}
	}
	d.Perm.PCRBanks, d.Perm.PCRsAllocated = banks, true
	needed := uint32(0)
	for i := range banks {
		for n := range pcr.Count {
			if banks[i].Has(n) {
				needed += uint32(tpmcrypto.MustSize(banks[i].Hash))
			}
		}
	}
	c.Out.YesNo(true)
	c.Out.Uint32(pcr.Count)
	c.Out.Uint32(needed)
	c.Out.Uint32(uint32(pcr.Count * tcg.MaxDigestSize * len(d.Profile.PCRBanks())))
	return nil
}

// pcrSetAuthValue is TPM2_PCR_SetAuthValue, which sets the authorization value
// of a group of PCRs. The PC Client profile has no PCR with an authorization
// value of its own.
//
//	TPM_RC_VALUE  always
func pcrSetAuthValue(_ *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	r.Next().Digest()
	if err := r.End(); err != nil {
		return err
	}
	return tcg.TPMRCValue.H(1)
}

// pcrSetAuthPolicy is TPM2_PCR_SetAuthPolicy, which sets the policy of a group
// of PCRs. The PC Client profile has no PCR with a policy of its own.
//
//	TPM_RC_SIZE   the policy is not of the algorithm's size
//	TPM_RC_VALUE  always
func pcrSetAuthPolicy(_ *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	policy := bytes.Clone(r.Next().Digest())
	alg := r.Next().HashAlgPlus()
	r.Next().Handle(tcg.TPMIDHPCR)
	if err := r.End(); err != nil {
		return err
	}
	if len(policy) != tpmcrypto.DigestSize(alg) {
		return tcg.TPMRCSize.P(1)
	}
	return tcg.TPMRCValue.P(3)
}
