package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// nvDefineSpace is TPM2_NV_DefineSpace, which defines an NV index.
//
//	TPM_RC_ATTRIBUTES  attributes contradict each other or the authorization
//	TPM_RC_HIERARCHY   platform NV is disabled
//	TPM_RC_NV_DEFINED  the index exists
//	TPM_RC_NV_SPACE    no room
//	TPM_RC_SIZE        auth, policy or data size does not fit
//	TPM_RC_VALUE       the index is one that no command defines: see Device.Reserved
func nvDefineSpace(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := r.Next().Digest()
	var public tcg.TPMSNVPublic
	public.Unmarshal2B(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	return nvDefine(d, c.Handles[0], auth, public)
}

func nvDefine(d *engine.Device, by tcg.TPMHandle, auth []byte, p tcg.TPMSNVPublic) error {
	auth = tcg.TrimAuth(auth)
	if len(auth) > tpmcrypto.MustSize(p.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	if n := len(p.AuthPolicy); n != 0 && n != tpmcrypto.MustSize(p.NameAlg) {
		return tcg.TPMRCSize.P(2)
	}
	if rc := nv.CheckPublic(by, &p); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if by == tcg.TPMRHPlatform && !d.Clear.Hierarchies.PlatformNVEnable {
		return tcg.TPMRCHierarchy.H(1)
	}
	if d.Index(p.NVIndex) != nil {
		return tcg.TPMRCNVDefined
	}
	if d.Reserved(p.NVIndex) {
		return tcg.TPMRCValue.P(2)
	}
	if rc := d.Perm.NV.Define(p, bytes.Clone(auth), d.PersistentUnits()); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// nvUndefineSpace is TPM2_NV_UndefineSpace, which removes an NV index.
//
//	TPM_RC_ATTRIBUTES        the index may be deleted by its policy only
//	TPM_RC_HANDLE            the index is not defined; from the dispatcher
//	TPM_RC_NV_AUTHORIZATION  the platform's index, by the owner
func nvUndefineSpace(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	h := c.Handles[1]
	x := d.Index(h)
	if x.Has(tcg.TPMANVPolicyDelete) {
		return tcg.TPMRCAttributes.H(2)
	}
	if x.Has(tcg.TPMANVPlatformCreate) && c.Handles[0] != tcg.TPMRHPlatform {
		return tcg.TPMRCNVAuthorization
	}
	d.Perm.NV.Remove(h)
	return nil
}

// nvUndefineSpaceSpecial is TPM2_NV_UndefineSpaceSpecial, which removes an NV
// index that only its policy may remove.
//
//	TPM_RC_ATTRIBUTES  the index is not one that its policy may delete
//	TPM_RC_HANDLE      the index is not defined; from the dispatcher
func nvUndefineSpaceSpecial(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	h := c.Handles[0]
	if !d.Index(h).Has(tcg.TPMANVPolicyDelete) {
		return tcg.TPMRCAttributes.H(1)
	}
	d.Perm.NV.Remove(h)
	// The index's authorization value went with it (Part 3, 31.5).
	c.Sessions[0].IncludeAuth = false
	return nil
}

// nvReadPublic is TPM2_NV_ReadPublic, which returns the public area and Name of
// an NV index.
func nvReadPublic(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x := d.Index(c.Handles[0])
	c.Out.Nested(x.Public.Marshal)
	c.Out.Sized(x.Name())
	return nil
}

// nvDefineSpace2 is TPM2_NV_DefineSpace2, which defines an NV index by a
// TPM2B_NV_PUBLIC_2. Response codes are those of nvDefineSpace, and
//
//	TPM_RC_HANDLE  an external index
func nvDefineSpace2(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := r.Next().Digest()
	var public tcg.TPMTNVPublic2
	public.Unmarshal2B(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	if public.NVIndex.Type() != tcg.TPMHTNVIndex {
		return tcg.TPMRCHandle.P(2)
	}
	return nvDefine(d, c.Handles[0], auth, public.Public())
}

// nvReadPublic2 is TPM2_NV_ReadPublic2, which returns the public area, as a
// TPM2B_NV_PUBLIC_2, and Name of an NV index.
func nvReadPublic2(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x := d.Index(c.Handles[0])
	public := x.Public.Public2()
	public.Marshal2B(&c.Out)
	c.Out.Sized(x.Name())
	return nil
}
