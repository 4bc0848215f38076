package vtpm

import "stubtpm/vtpm/tcg"

// Part 3, 31.17 and 31.18: NV commands of version 1.83. External NV memory,
// for which they were made, there is none.
var nv2Commands = commandTable{
	tcg.TPMCCNVDefineSpace2: (*Device).nvDefineSpace2,
	tcg.TPMCCNVReadPublic2:  (*Device).nvReadPublic2,
}

// nvDefineSpace2 is TPM2_NV_DefineSpace2. Response codes are those of
// nvDefineSpace, and
//
//	TPM_RC_HANDLE  an external index
func (d *Device) nvDefineSpace2(c *call) error {
	r := c.reader()
	auth := r.next().Digest()
	var public tcg.TPMTNVPublic2
	public.Unmarshal2B(r.next())
	if err := r.end(); err != nil {
		return err
	}
	if public.NVIndex.Type() != tcg.TPMHTNVIndex {
		return tcg.TPMRCHandle.P(2)
	}
	return d.nvDefine(c.handles[0], auth, public.Public())
}

// nvReadPublic2 is TPM2_NV_ReadPublic2.
func (d *Device) nvReadPublic2(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[0]]
	public := x.public.Public2()
	public.Marshal2B(&c.out)
	c.out.Sized(x.name())
	return nil
}
