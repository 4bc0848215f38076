package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestNVDefine: both commands define the same index, both read it with one Name,
// and it is there until it is undefined (Part 3, 31.3, 31.4, 31.6, 31.17 and
// 31.18).
func TestNVDefine(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, second := range []bool{false, true} {
		p := index(8, byOwner|byIndex)
		p2 := p.Public2()
		if second {
			tpm.Do(tcg.TPMCCNVDefineSpace2, handles{owner}, nil, "auth", p2)
		} else {
			tpm.Do(tcg.TPMCCNVDefineSpace, handles{owner}, nil, "auth", p)
		}
		tpm.PowerLoss()
		r := tpm.Do(tcg.TPMCCNVReadPublic, handles{p.NVIndex}, nil)
		public := take(r)
		name := take(r)
		if !bytes.Equal(public, tcg.Marshal(&p)) || !bytes.Equal(name[2:], hash(public)) {
			t.Errorf("the public area is %x, with the Name %x", public, name)
		}
		r = tpm.Do(tcg.TPMCCNVReadPublic2, handles{p.NVIndex}, nil)
		if got := take(r); !bytes.Equal(got, tcg.Marshal(&p2)) || !bytes.Equal(take(r), name) {
			t.Errorf("TPM2_NV_ReadPublic2 has the public area %x", got)
		}
		tpm.Do(tcg.TPMCCNVWrite, handles{p.NVIndex, p.NVIndex}, auths{tpmtest.Password("auth")}, "x", 0)
		tpm.Do(tcg.TPMCCNVUndefineSpace, handles{owner, p.NVIndex}, nil)
		if tpm.PowerLoss(); there(tpm, p.NVIndex) {
			t.Error("the index is there")
		}
	}
}

// TestNVUndefineSpaceSpecial: the policy of the index and the platform together
// delete it (Part 3, 31.5).
func TestNVUndefineSpaceSpecial(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVUndefineSpaceSpecial)
	deletes := step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCNVUndefineSpaceSpecial)
	p := index(8, byPlatform|tcg.TPMANVPlatformCreate|tcg.TPMANVPolicyDelete)
	p.AuthPolicy = trial(tpm, deletes)
	x := define(tpm, platform, p)
	p.NVIndex, p.Attributes = x+1, byPlatform|tcg.TPMANVPlatformCreate|tcg.TPMANVNoDA
	other := define(tpm, platform, p)
	s := tpm.StartPolicy()
	deletes(tpm, s)
	password := tpmtest.Password("")
	tpm.Want(tcg.TPMRCAttributes.H(2), tcg.TPMCCNVUndefineSpace, handles{platform, x}, nil)
	c.row(tcg.TPMRCHandle.H(1), "no such index", handles{x + 2, platform})
	c.row(tcg.TPMRCValue.H(2), "by the owner", handles{x, owner})
	c.row(tcg.TPMRCAuthType, "by its authorization value", handles{x, platform})
	c.by(tcg.TPMRCAttributes.H(1), "an index that its policy does not delete", handles{other, platform}, auths{s, password})
	c.by(tcg.TPMRCSuccess, "by its policy", handles{x, platform}, auths{s, password})
	if tpm.PowerLoss(); there(tpm, x) || !there(tpm, other) {
		t.Error("the index is there, or another one is not")
	}
}

func TestNVUndefineSpaceCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVUndefineSpace)
	p := index(8, byPlatform|tcg.TPMANVPlatformCreate|tcg.TPMANVPolicyDelete)
	c.row(tcg.TPMRCHandle.H(2), "no such index", handles{owner, p.NVIndex})
	c.row(tcg.TPMRCAttributes.H(2), "its policy alone deletes it", handles{platform, define(tpm, platform, p)})
	p.NVIndex, p.Attributes = p.NVIndex+1, p.Attributes&^tcg.TPMANVPolicyDelete
	c.row(tcg.TPMRCNVAuthorization, "the platform's, by the owner", handles{owner, define(tpm, platform, p)})
	c.row(tcg.TPMRCSuccess, "the platform's", handles{platform, p.NVIndex})
	own := index(8, byOwner)
	own.NVIndex += 2
	c.row(tcg.TPMRCSuccess, "the owner's, by the platform", handles{platform, define(tpm, owner, own)})
}

func TestNVReadPublicCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	x := define(tpm, owner, index(8, byOwner))
	for _, c := range []*codes{codesOf(t, tpm, tcg.TPMCCNVReadPublic), codesOf(t, tpm, tcg.TPMCCNVReadPublic2)} {
		c.row(tcg.TPMRCSuccess, "", handles{x})
		c.row(tcg.TPMRCHandle.H(1), "no such index", handles{x + 1})
		c.row(tcg.TPMRCValue.H(1), "not an index", handles{owner})
	}
}

func TestNVDefineSpaceCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	defineRows(codesOf(t, tpm, tcg.TPMCCNVDefineSpace), func(p tcg.TPMSNVPublic) any { return p })
}

func TestNVDefineSpace2Codes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVDefineSpace2)
	defineRows(c, func(p tcg.TPMSNVPublic) any { return p.Public2() })
	p := index(8, byOwner)
	external := p.Public2()
	external.NVIndex = tcg.TPMHandle(tcg.TPMHTExternalNV) << 24
	c.row(tcg.TPMRCHandle.P(2), "an external index", handles{platform}, nil, external)
	c.row(tcg.TPMRCSelector.P(2), "a type that no index has", handles{platform}, nil, []byte{byte(tcg.TPMHTTransient)})
}

// defineRows are those of a command that defines an index of a public area, which
// public brings into the form of the command.
func defineRows(c *codes, public func(tcg.TPMSNVPublic) any) {
	tpm := c.tpm
	row := func(rc tcg.TPMRC, why string, by tcg.TPMHandle, size int, attributes tcg.TPMANV) {
		c.t.Helper()
		c.row(rc, why, handles{by}, nil, public(index(size, attributes)))
	}
	attributes, size := tcg.TPMRCAttributes.P(2), tcg.TPMRCSize.P(2)
	row(attributes, "a type that is reserved", owner, 8, byOwner|nt(3))
	row(attributes, "written", owner, 8, byOwner|tcg.TPMANVWritten)
	row(attributes, "locked for writing", owner, 8, byOwner|tcg.TPMANVWriteLocked)
	row(attributes, "locked for reading", owner, 8, byOwner|tcg.TPMANVReadLocked)
	row(attributes, "nobody may read", owner, 8, tcg.TPMANVOwnerWrite)
	row(attributes, "nobody may write", owner, 8, tcg.TPMANVOwnerRead)
	row(attributes, "a counter that a restart clears", owner, 8, byOwner|nt(tcg.TPMNTCounter)|tcg.TPMANVClearSTClear)
	row(attributes, "cleared by a restart, and locked for good", owner, 8, byOwner|tcg.TPMANVClearSTClear|tcg.TPMANVWriteDefine)
	row(attributes, "the platform's, by the owner", owner, 8, byOwner|tcg.TPMANVPlatformCreate)
	row(attributes, "the owner's, by the platform", platform, 8, byOwner)
	row(attributes, "deleted by policy, by the owner", owner, 8, byOwner|tcg.TPMANVPolicyDelete)
	for _, kind := range []tcg.TPMNT{tcg.TPMNTPinPass, tcg.TPMNTPinFail} {
		row(attributes, "a PIN that its own value writes", owner, 8, byIndex|tcg.TPMANVOwnerWrite|nt(kind))
		row(attributes, "a PIN that can be locked globally", owner, 8, byOwner|nt(kind)|tcg.TPMANVGlobalLock)
		row(attributes, "a PIN that can be locked for good", owner, 8, byOwner|nt(kind)|tcg.TPMANVWriteDefine)
	}
	p := index(8, byOwner|nt(tcg.TPMNTPinFail))
	p.Attributes &^= tcg.TPMANVNoDA
	c.row(attributes, "a PIN Fail index with dictionary attack protection", handles{owner}, nil, public(p))
	row(tcg.TPMRCReservedBits.P(2), "a reserved attribute", owner, 8, byOwner|1<<8)
	for _, kind := range []tcg.TPMNT{tcg.TPMNTCounter, tcg.TPMNTBits, tcg.TPMNTPinFail, tcg.TPMNTPinPass} {
		row(size, "not of 8 bytes", owner, 7, byOwner|nt(kind))
	}
	row(size, "not of nameAlg's size", owner, 20, byOwner|nt(tcg.TPMNTExtend))
	row(size, "more than an index holds", owner, 2049, byOwner)
	row(size, "more than one command writes, and all is to be written", owner, 1025, byOwner|tcg.TPMANVWriteAll)
	p = index(8, byOwner)
	c.row(tcg.TPMRCSize.P(1), "an authorization value longer than nameAlg's digest", handles{owner}, make33(), public(p))
	p.AuthPolicy = someHash[1:]
	c.row(size, "a policy that is cut", handles{owner}, nil, public(p))
	p = index(8, byOwner)
	p.NameAlg = tcg.TPMAlgAES
	c.row(tcg.TPMRCHash.P(2), "no such nameAlg", handles{owner}, nil, public(p))
	p = index(8, byPlatform|tcg.TPMANVPlatformCreate)
	p.NVIndex = vtpm.EpochIndex
	c.row(tcg.TPMRCValue.P(2), "the index that tells the epoch", handles{platform}, nil, public(p))
	c.row(tcg.TPMRCValue.H(1), "by the endorsement hierarchy", handles{endorsement}, nil, public(p))

	row(tcg.TPMRCSuccess, "", owner, 8, byOwner)
	row(tcg.TPMRCNVDefined, "again", owner, 8, byOwner)
	f := c.on(tpm.Fork())
	n := index(2048, byOwner)
	for f.tpm.Run(c.cc, handles{owner}, nil, nil, public(n)).Code == tcg.TPMRCSuccess || n.NVIndex == 0x01800001 {
		n.NVIndex++
	}
	f.row(tcg.TPMRCNVSpace, "no room", handles{owner}, nil, public(n))
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, tcg.TPMRHPlatformNV, false)
	row(tcg.TPMRCHierarchy.H(1), "the platform's NV is disabled", platform, 8, byPlatform|tcg.TPMANVPlatformCreate)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, owner, false)
	row(tcg.TPMRCHierarchy.H(1), "the owner's hierarchy is disabled", owner, 8, byOwner)
}
