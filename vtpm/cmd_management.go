package vtpm

import (
	"bytes"
	"slices"

	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 26 - Miscellaneous Management Functions, 24.9
// TPM2_ReadOnlyControl, and the PCR administration of section 22.
var managementCommands = commandTable{
	tcg.TPMCCPPCommands:       (*Device).ppCommands,
	tcg.TPMCCSetAlgorithmSet:  (*Device).setAlgorithmSet,
	tcg.TPMCCReadOnlyControl:  (*Device).readOnlyControl,
	tcg.TPMCCPCRAllocate:      (*Device).pcrAllocateCommand,
	tcg.TPMCCPCRSetAuthValue:  (*Device).pcrSetAuthValue,
	tcg.TPMCCPCRSetAuthPolicy: (*Device).pcrSetAuthPolicy,
}

// needsPhysicalPresence reports whether the i-th authorization, if by the
// platform, needs physical presence to be asserted too.
func (d *Device) needsPhysicalPresence(c *call, i int) bool {
	return c.handles[i] == tcg.TPMRHPlatform &&
		(c.spec.Has(tcg.AttrPPRequired) || slices.Contains(d.perm.physicalPresence, c.spec.Code))
}

// SetPhysicalPresence says whether somebody at the machine confirms commands
// that need it.
func (d *Device) SetPhysicalPresence(asserted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vol.physicalPresence = asserted
}

// ppCommands is TPM2_PP_Commands.
func (d *Device) ppCommands(c *call) error {
	var set, clear tcg.TPMLCC
	r := c.reader()
	set.Unmarshal(r.next())
	clear.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	list := slices.Clone(d.perm.physicalPresence)
	for _, cc := range set {
		spec := tcg.CommandByCode(cc)
		if d.Implements(cc) && spec.Has(tcg.AttrPP) && !slices.Contains(list, cc) {
			list = append(list, cc)
		}
	}
	for _, cc := range clear {
		if i := slices.Index(list, cc); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	d.perm.physicalPresence = list
	return nil
}

// setAlgorithmSet is TPM2_SetAlgorithmSet. The number is kept and shown; which
// algorithms there are is the profile's to say. The next TPM2_Startup has to be
// one that clears.
func (d *Device) setAlgorithmSet(c *call) error {
	r := c.reader()
	set := r.next().Uint32()
	if err := r.end(); err != nil {
		return err
	}
	d.perm.algorithmSet, d.perm.algorithmsSet = set, true
	return nil
}

// pcrAllocateCommand is TPM2_PCR_Allocate. Banks that the list does not name
// stay as they are; the change takes effect at the next _TPM_Init, before which
// no TPM2_Shutdown(STATE) is possible.
//
//	TPM_RC_PCR  PCR 0 or a PCR of a dynamic launch would be in no bank
func (d *Device) pcrAllocateCommand(c *call) error {
	var sel tcg.TPMLPCRSelection
	r := c.reader()
	sel.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	banks := slices.Clone(d.perm.pcrBanks)
	for _, s := range sel.All() {
		if i := slices.IndexFunc(banks, func(b tcg.TPMSPCRSelection) bool { return b.Hash == s.Hash }); i >= 0 {
			banks[i] = s
		} else if slices.Contains(d.profile.PCRBanks(), s.Hash) {
			banks = append(banks, s)
		}
	}
	for _, n := range []int{0, 17} {
		if !slices.ContainsFunc(banks, func(b tcg.TPMSPCRSelection) bool { return b.Has(n) }) {
			return tcg.TPMRCPCR
		}
	}
	d.perm.pcrBanks, d.perm.pcrsAllocated = banks, true
	needed := uint32(0)
	for i := range banks {
		for n := range pcr.Count {
			if banks[i].Has(n) {
				needed += uint32(hashSize(banks[i].Hash))
			}
		}
	}
	c.out.YesNo(true)
	c.out.Uint32(pcr.Count)
	c.out.Uint32(needed)
	c.out.Uint32(uint32(pcr.Count * tcg.MaxDigestSize * len(d.profile.PCRBanks())))
	return nil
}

// pcrSetAuthValue is TPM2_PCR_SetAuthValue. The PC Client profile has no PCR
// with an authorization value of its own.
//
//	TPM_RC_VALUE  always
func (d *Device) pcrSetAuthValue(c *call) error {
	r := c.reader()
	r.next().Digest()
	if err := r.end(); err != nil {
		return err
	}
	return tcg.TPMRCValue.H(1)
}

// pcrSetAuthPolicy is TPM2_PCR_SetAuthPolicy. The PC Client profile has no PCR
// with a policy of its own.
//
//	TPM_RC_SIZE   the policy is not of the algorithm's size
//	TPM_RC_VALUE  always
func (d *Device) pcrSetAuthPolicy(c *call) error {
	r := c.reader()
	policy := bytes.Clone(r.next().Digest())
	alg := r.next().HashAlgPlus()
	r.next().Handle(tcg.TPMIDHPCR)
	if err := r.end(); err != nil {
		return err
	}
	if len(policy) != tpmcrypto.DigestSize(alg) {
		return tcg.TPMRCSize.P(1)
	}
	return tcg.TPMRCValue.P(3)
}
